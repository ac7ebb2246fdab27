"""Blocks of pictures sent to actors of Ray, outcomes taken back in order.

Ray can restart a dead worker and repeat its calls by itself, but where its machine is lost nothing restarts, and those
calls would wait for ever.  So what a dead worker had is given out again here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vsearch.decode import Decoded, Job, Limits
from vsearch.distributed.blocks import IN_FLIGHT, STARTS, Block, Blocks
from vsearch.distributed.worker import Embedded, Worker
from vsearch.errors import ClusterError, VsearchError
from vsearch.ingest.reader import Outcome
from vsearch.types import EncoderInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
        self._workers = workers
        self._members: set[_Member] = set()
        self._running: dict[Any, tuple[_Member, Block | None]] = {}
        self._free: deque[_Member] = deque()  # a member once for every call that it has room for
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
        blocks = Blocks(jobs, self._workers)
        while True:
            self._send(blocks)
            if (outcomes := blocks.told()) is not None:
                yield from outcomes
            elif blocks.under_way or not self._free:  # or for the first workers
                self._wait(blocks)
            else:
                return

    def _send(self, blocks: Blocks) -> None:
        while self._free and (block := blocks.take()):
            member = self._free.popleft()
            self._running[member.actor.read.remote(block.jobs)] = (member, block)

    def _wait(self, blocks: Blocks) -> None:
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
            self._lose(member, error)
            if block is not None:
                blocks.lost(block)
            return
        if block is None:
            self._free.extend([member] * IN_FLIGHT)
        else:
            blocks.done(block, told)
            self._died_idle = 0
            self._free.append(member)
        if member.lost:
            self._free = deque(free for free in self._free if free is not member)

    def _start(self) -> None:
        member = _Member(self._kind.remote(*self._given))
        self._members.add(member)
        self._running[member.actor.ready.remote()] = (member, None)

    def _lose(self, member: _Member, error: Exception) -> None:
        """Put another worker in the place of one that died, once, however many of its calls end with it."""
        if member.lost:
            return
        member.lost = True
        self._members.discard(member)
        self._free = deque(free for free in self._free if free is not member)
        self._died_idle += 1
        if self._died_idle >= STARTS:
            raise ClusterError(f"the workers of the Ray cluster die before they have done anything: {error}")
        self._start()
