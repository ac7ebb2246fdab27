"""Where the time of one run goes, so that one sees what bounds it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

T = TypeVar("T")
Stage = Literal["scan", "decode", "embed", "store"]


class Stages:
    """Seconds that the thread of a run spends in each stage.

    What worker processes decode while it embeds costs it nothing; ``decode`` is the time that it waits for them.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {"scan": 0.0, "decode": 0.0, "embed": 0.0, "store": 0.0}

    @contextmanager
    def spent(self, stage: Stage) -> Iterator[None]:
        """Account for a block."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] += time.monotonic() - began

    def waiting(self, stage: Stage, source: Iterable[T]) -> Iterator[T]:
        """Account for the time that the next one takes to come."""
        it = iter(source)
        while True:
            with self.spent(stage):
                try:
                    one = next(it)
                except StopIteration:
                    return
            yield one
