"""How far indexing is, on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vsearch.cli.console import say
from vsearch.cli.units import time_left
from vsearch.types import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

FIRST_LINE, NEXT_LINE = 5.0, 15.0  # seconds

Shower = Callable[[Progress], None]


@contextmanager
def progress() -> Iterator[Shower]:
    """Give the function that is to be told of progress."""
    if sys.stderr.isatty():
        with _bar() as shower:
            yield shower
    else:
        yield _lines()


def line(now: Progress) -> str:
    """Say how far it is: ``256 of 540 pictures, 44/s, 0:00:06 left``."""
    of = f" of {now.total:,}" if now.total is not None else ""
    rate = now.done / now.seconds if now.seconds > 0 else 0.0
    told = f"{now.done:,}{of} pictures, {rate:.{0 if rate >= 10 else 1}f}/s"
    if now.total is not None and rate > 0:
        told += f", {time_left((now.total - now.done) / rate)} left"
    return told + (f", {now.failed:,} failed" if now.failed else "")


def _lines() -> Shower:
    due = FIRST_LINE

    def shower(now: Progress) -> None:
        nonlocal due
        if now.seconds >= due and now.done:
            due = now.seconds + NEXT_LINE
            say(line(now))

    return shower


_bars: list[Bar] = []


def hide_bars() -> None:
    """Make room on the terminal for something else."""
    for bar in _bars:
        bar.stop()


def show_bars() -> None:
    """Show again what was hidden."""
    for bar in _bars:
        bar.start()


@contextmanager
def _bar() -> Iterator[Shower]:
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.description}", markup=False))
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        _bars.append(bar)
        task = bar.add_task("looking for pictures", total=None)

        def shower(now: Progress) -> None:
            bar.update(task, completed=now.done, total=now.total or None, description=line(now))

        try:
            yield shower
        finally:
            _bars.remove(bar)
