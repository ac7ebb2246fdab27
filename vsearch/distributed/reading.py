"""Blocks of pictures sent to workers, outcomes taken back in order; what a worker had when it died goes to another.

Ray can restart a dead worker and repeat its calls by itself, but where its machine is lost nothing restarts, and those
calls would wait for ever.  So a block is free to go anywhere until its outcomes are here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from vsearch.decode import Decoded, Job, Limits
from vsearch.distributed.worker import Embedded, Worker
from vsearch.errors import ClusterError, VsearchError
from vsearch.ingest.reader import Outcome
from vsearch.types import EncoderInfo, Failure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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


@dataclass(slots=True, eq=False)
class _Member:
    """A worker as the driver sees it."""

    actor: Any
    lost: bool = False


class RayReader:
    """A ``Reader`` whose work is done by actors.  needs: what each takes, as Ray counts it."""

    def __init__(self, ray: Any, workers: int, needs: dict[str, int], info: EncoderInfo, limits: Limits) -> None:
        self._ray = ray
        self._kind = ray.remote(Worker).options(max_restarts=0, max_concurrency=IN_FLIGHT, **needs)
        self._given = (info, limits, needs["num_cpus"])
        self._most_ahead = workers * AHEAD
        self._members: set[_Member] = set()
        self._running: dict[Any, tuple[_Member, Block | None]] = {}
        self._free: deque[_Member] = deque()  # a member once for every call that it has room for
        self._again: deque[Block] = deque()
        self._done: dict[int, list[Outcome]] = {}
        self._taken = 0
        self._died_idle = 0
        for _ in range(workers):
            self._start()

    def close(self) -> None:
        """End the workers."""
        for member in self._members:
            self._ray.kill(member.actor)
        self._members.clear()

    def embed(self, pictures: Sequence[Decoded]) -> list[NDArray[np.float32] | str]:
        """See ``Reader``: they came with their vectors."""
        return [picture.vector for picture in pictures if isinstance(picture, Embedded)]

    def read(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """See ``Reader``.  Raises ClusterError when no worker lives long enough, and what the encoder raises."""
        blocks = blocks_of(jobs)
        turn = 0
        while True:
            self._send(blocks, turn + self._most_ahead)
            if turn in self._done:
                yield from self._done.pop(turn)
                turn += 1
            elif self._again or any(block is not None for _, block in self._running.values()):
                self._wait()
            elif not self._free:
                self._wait()  # for the first workers
            else:
                return

    def _send(self, blocks: Iterator[Block], limit: int) -> None:
        """Give the free workers blocks, while the next one's number is below ``limit``."""
        while self._free:
            block = self._again.popleft() if self._again else self._next(blocks, limit)
            if block is None:
                return
            member = self._free.popleft()
            self._running[member.actor.read.remote(block.jobs)] = (member, block)

    def _next(self, blocks: Iterator[Block], limit: int) -> Block | None:
        if self._taken >= limit:
            return None
        block = next(blocks, None)
        self._taken += block is not None
        return block

    def _wait(self) -> None:
        """Take in the next outcomes, or the news that a worker has died.  Raises ClusterError, EncoderError."""
        (ref,), _ = self._ray.wait(list(self._running), num_returns=1)
        member, block = self._running.pop(ref)
        try:
            told = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, VsearchError):
                raise error.cause from None
            raise ClusterError(f"a worker of the Ray cluster failed: {error.cause!r}") from error
        except self._ray.exceptions.RayError as error:
            self._lose(member, block, error)
            return
        if block is None:
            self._free.extend([member] * IN_FLIGHT)
        else:
            self._done[block.number] = told
            self._died_idle = 0
            self._free.append(member)
        if member.lost:
            self._free = deque(free for free in self._free if free is not member)

    def _start(self) -> None:
        member = _Member(self._kind.remote(*self._given))
        self._members.add(member)
        self._running[member.actor.ready.remote()] = (member, None)

    def _lose(self, member: _Member, block: Block | None, error: Exception) -> None:
        """Put another worker in the place of one that died, and its block back; one that it dies of is given up."""
        if not member.lost:
            member.lost = True
            self._members.discard(member)
            self._free = deque(free for free in self._free if free is not member)
            self._died_idle += 1
            if self._died_idle >= STARTS:
                raise ClusterError(f"the workers of the Ray cluster die before they have done anything: {error}")
            self._start()
        if block is not None:
            block.tries += 1
            if block.tries < TRIES:
                self._again.append(block)
            else:
                self._done[block.number] = given_up(block)


def blocks_of(jobs: Iterable[Job]) -> Iterator[Block]:
    """Numbered from 0, of ``BLOCK`` jobs each, taken as they are needed."""
    stream, number = iter(jobs), 0
    while block := list(islice(stream, BLOCK)):
        yield Block(number, block)
        number += 1


def given_up(block: Block) -> list[Outcome]:
    """A failure for each file of a block of which workers die."""
    why = f"the workers died that had this file and {len(block.jobs) - 1} others"
    return [Failure(job.path, "embed", why) for job in block.jobs]
