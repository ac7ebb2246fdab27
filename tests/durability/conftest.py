"""What the harnesses share: strace or a loud word that it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.durability.trace import find_strace

_NOT_PROVEN: list[str] = []


@pytest.fixture(scope="session")
def strace() -> Iterator[str]:
    """Path of strace; without it the power-loss tests are skipped, and the summary says so in capitals."""
    found = find_strace()
    if found is None:
        if not _NOT_PROVEN:
            _NOT_PROVEN.append("power-loss replay: strace is not installed; type: apt-get install strace")
        pytest.skip("strace is not installed")
    yield found


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was not proven, whatever the verbosity."""
    for line in _NOT_PROVEN:
        terminalreporter.write_sep("!", f"NOT PROVEN: {line}", red=True, bold=True)
