"""Who is told how far a download is.  An encoder is loaded by its first use, in any thread, so this is per process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[int, int | None, str], None]
"""Called with bytes that are here, bytes in all (None where the hub does not tell) and the name of the file.

The first call of a file comes before its first byte; the last one says that all bytes are here.
"""


def _silent(done: int, total: int | None, name: str) -> None:
    """The library says nothing unless asked."""


_report: Report = _silent


@contextmanager
def report_downloads(report: Report) -> Iterator[None]:
    """Call ``report`` for every download of this process, whatever starts it, while the block runs."""
    global _report
    before, _report = _report, report
    try:
        yield
    finally:
        _report = before


def current() -> Report:
    """Whom to tell now."""
    return _report
