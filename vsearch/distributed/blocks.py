"""Blocks of pictures for workers: which come next, which come again, and whose outcomes are to be told now.

What a worker had when it died goes to another, so a block is free to go anywhere until its outcomes are here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from vsearch.decode import Job
from vsearch.ingest.reader import Outcome
from vsearch.types import Failure

BLOCK = 256  # pictures of one call
IN_FLIGHT = 2  # calls of a worker: one decodes while the other embeds
AHEAD = 4  # blocks for each worker that may be done before their turn
TRIES = 3  # workers that may die of one block before its pictures are given up
STARTS = 5  # workers in a row that may die before they have done anything


@dataclass(slots=True, eq=False)
class Block:
    """Files that go to a worker together.  tries: how many workers have died of it."""

    number: int
    jobs: list[Job]
    tries: int = 0


class Blocks:
    """The jobs of one reading in blocks, taken as they are needed, and their outcomes in order."""

    def __init__(self, jobs: Iterable[Job], workers: int) -> None:
        self._jobs = iter(jobs)
        self._most_ahead = workers * AHEAD
        self._taken = self._turn = 0
        self._again: deque[Block] = deque()
        self._done: dict[int, list[Outcome]] = {}

    @property
    def under_way(self) -> bool:
        """Whether there are blocks that a worker has, or has to have again."""
        return self._taken > self._turn + len(self._done)

    def take(self) -> Block | None:
        """One for a worker that is free; none when all were taken, or too many wait for their turn."""
        if self._again:
            return self._again.popleft()
        if self._taken >= self._turn + self._most_ahead:
            return None
        jobs = list(islice(self._jobs, BLOCK))
        if not jobs:
            return None
        self._taken += 1
        return Block(self._taken - 1, jobs)

    def done(self, block: Block, outcomes: list[Outcome]) -> None:
        """A worker has done it."""
        self._done[block.number] = outcomes

    def lost(self, block: Block) -> None:
        """The worker that had it died: another gets it, unless too many have died of it."""
        block.tries += 1
        if block.tries < TRIES:
            self._again.append(block)
        else:
            why = f"the workers died that had this file and {len(block.jobs) - 1} others"
            self.done(block, [Failure(job.path, "embed", why) for job in block.jobs])

    def told(self) -> list[Outcome] | None:
        """The outcomes of the block whose turn it is; none while they are not there."""
        if self._turn not in self._done:
            return None
        self._turn += 1
        return self._done.pop(self._turn - 1)
