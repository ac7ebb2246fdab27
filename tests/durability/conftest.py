"""What the harnesses share: a quick disk, processes to fork from, and a loud word when a tool is missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.durability import place
from tests.durability.faults import compile_shim
from tests.durability.trace import find_strace
from tests.durability.zygote import Zygote

_NOT_PROVEN: list[str] = []


def _missing(what: str, tool: str) -> None:
    line = f"{what}: {tool} is not installed; type: apt-get install {tool}"
    if line not in _NOT_PROVEN:
        _NOT_PROVEN.append(line)
    pytest.skip(f"{tool} is not installed")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was not proven, whatever the verbosity."""
    for line in _NOT_PROVEN:
        terminalreporter.write_sep("!", f"NOT PROVEN: {line}", red=True, bold=True)


@pytest.fixture(scope="session")
def strace() -> str:
    """Path of strace; without it the power-loss tests are skipped, and the summary says so in capitals."""
    found = find_strace()
    if found is None:
        _missing("power-loss replay", "strace")
    return str(found)


@pytest.fixture
def workshop() -> Iterator[Path]:
    """An empty folder on a quick disk."""
    with place.workshop() as folder:
        yield folder


@pytest.fixture(scope="package")
def zygotes() -> Iterator[list[Zygote]]:
    """Three processes to fork from."""
    with Zygote() as one, Zygote() as two, Zygote() as three:
        yield [one, two, three]


@pytest.fixture(scope="package")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes file calls fail, compiled now."""
    if shutil.which("gcc") is None:
        _missing("faults at every file call", "gcc")
    return compile_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="package")
def saboteurs(shim: Path) -> Iterator[list[Zygote]]:
    """Two processes to fork from whose file calls can fail."""
    with Zygote(shim) as one, Zygote(shim) as two:
        yield [one, two]
