"""A limit on the time of statements, one or several."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

AGAIN = 0.05


@contextmanager
def interrupted_after(seconds: float, interrupt: Callable[[], None]) -> Iterator[None]:
    """Call ``interrupt`` once the time is over, and again until the block ends.

    An interrupt that comes between two statements is lost, and the next one would have no limit.
    """
    ended = threading.Event()

    def watch() -> None:
        wait = seconds
        while not ended.wait(wait):
            interrupt()
            wait = AGAIN

    watcher = threading.Thread(target=watch, name="filter deadline", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
