"""How far a download is, on standard error: one line that is rewritten on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click

from vsearch.cli.console import say
from vsearch.cli.progress import hide_bars, show_bars
from vsearch.cli.units import time_left

REWRITTEN, NEXT_LINE = 0.1, 10.0  # seconds
SMALL = 1_000_000  # bytes of files that leave no line behind
ERASE = "\r\x1b[K"


@contextmanager
def downloads_shown() -> Iterator[None]:
    """Show every download of this process while the block runs."""
    from vsearch.embed.download.notice import report_downloads

    shower = Downloads(sys.stderr.isatty())
    with report_downloads(shower):
        try:
            yield
        finally:
            shower.close()


@dataclass
class _File:
    """The file that comes.  first: bytes that were here before; done: now.  begun, due: seconds of the clock."""

    name: str
    first: int
    done: int
    begun: float
    due: float


class Downloads:
    """Shows what it is told, as a ``Report``; the threads of a server may tell it things at the same time."""

    def __init__(self, terminal: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._terminal = terminal
        self._clock = clock
        self._lock = threading.Lock()
        self._file: _File | None = None

    def __call__(self, done: int, total: int | None, name: str) -> None:
        """Bytes that are here, bytes in all if that is known, and the name of the file."""
        with self._lock:
            if self._file is None or self._file.name != name:
                if done == total:  # somebody else has fetched it
                    return
                self._file = self._begin(done, total, name)
            now, self._file.done = self._clock(), done
            if done == total:
                self._end(self._file, done, now - self._file.begun)
            elif now >= self._file.due:
                self._file.due = now + (REWRITTEN if self._terminal else NEXT_LINE)
                self._write(state(name, done, total, self._file.first, now - self._file.begun))

    def close(self) -> None:
        """No more is coming; say what is here of a file that was not finished."""
        with self._lock:
            file, self._file = self._file, None
        if file is not None and self._terminal:
            _put(ERASE)
        if file is not None and file.done >= SMALL:
            say(f"{file.name}: {amount(file.done)} are here; the same command goes on from there")

    def _begin(self, done: int, total: int | None, name: str) -> _File:
        begun = self._clock()
        if self._terminal:
            hide_bars()
        elif total is None or total >= SMALL:
            size = f", {amount(total)}" if total is not None else ""
            here = f", {amount(done)} of it are here" if done else ""
            say(f"fetching {name}{size}{here}")
        return _File(name, done, done, begun, begun if self._terminal else begun + NEXT_LINE)

    def _end(self, file: _File, size: int, seconds: float) -> None:
        self._file = None
        if self._terminal:
            _put(ERASE)
        if size >= SMALL:
            say(f"{file.name}: {amount(size - file.first)} fetched in {seconds:.1f} s")
        if self._terminal:
            show_bars()

    def _write(self, line: str) -> None:
        if self._terminal:
            _put(f"{ERASE}{line[: shutil.get_terminal_size().columns - 1]}")
        else:
            say(line)


def _put(text: str) -> None:
    click.echo(text, err=True, nl=False, color=True)


def state(name: str, done: int, total: int | None, first: int, seconds: float) -> str:
    """Say how far it is: ``open_clip_model.safetensors: 123 of 605 MB, 20 %, 12.3 MB/s, 0:00:40 left``.

    first: bytes that were here before; seconds: since then.
    """
    rate = (done - first) / seconds if seconds > 0 else 0.0
    line = f"{name}: {amount(done, total)}"
    if total:
        line += f", {100 * done // total} %"
    if rate > 0:
        line += f", {amount(rate)}/s"
    if total and rate > 0:
        line += f", {time_left((total - done) / rate)} left"
    return line


def amount(count: float, total: float | None = None) -> str:
    """Bytes in MB or, below one, in kB; ``12.3 of 60.5 MB`` when there are more to come."""
    most = total or count
    unit, size = ("MB", 1e6) if most >= SMALL else ("kB", 1e3)
    digits = 1 if most < 100 * size else 0
    return " of ".join(f"{number / size:,.{digits}f}" for number in (count, total) if number is not None) + f" {unit}"
