"""Where a shard is searched: one actor, or several that stand in for each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vsearch.errors import VsearchError
from vsearch.sharded.shard import Shard
from vsearch.types import EncoderInfo

CALLS = 8  # searches of an actor side by side


@dataclass(slots=True, eq=False)
class Replica:
    """An actor.  opening: the call that opens its index, until it has been answered."""

    actor: Any
    opening: Any


class Place:
    """The replicas of one shard.  An actor that dies is started again by Ray, and asked again when it has opened."""

    def __init__(self, ray: Any, number: int, path: str, replicas: int) -> None:
        self.number = number
        self.path = path
        self._ray = ray
        kind = ray.remote(Shard).options(
            num_cpus=0, max_restarts=-1, max_concurrency=CALLS, scheduling_strategy="SPREAD"
        )
        actors = [kind.remote(path) for _ in range(replicas)]
        self.replicas = [Replica(actor, actor.ready.remote()) for actor in actors]
        self._turn = 0

    def opened(self) -> EncoderInfo:
        """Wait until the index is open everywhere.  Raises what ``open`` raises."""
        for replica in self.replicas:
            info: EncoderInfo = answer(self._ray, replica.opening)
            replica.opening = None
        return info

    def next(self) -> Replica | None:
        """The replica whose turn it is, of those that can answer."""
        for _ in self.replicas:
            self._turn += 1
            replica = self.replicas[self._turn % len(self.replicas)]
            if replica.opening is None or self._is_back(replica):
                return replica
        return None

    def failed(self, replica: Replica) -> None:
        """Do not ask a replica before it has opened its index again."""
        if replica.opening is None:
            replica.opening = replica.actor.ready.remote()

    def _is_back(self, replica: Replica) -> bool:
        done, _ = self._ray.wait([replica.opening], timeout=0)
        if not done:
            return False
        try:
            self._ray.get(done[0])
        except self._ray.exceptions.RayError:
            replica.opening = replica.actor.ready.remote()
            return False
        replica.opening = None
        return True

    def close(self) -> None:
        """End the actors."""
        for replica in self.replicas:
            self._ray.kill(replica.actor)


def answer(ray: Any, ref: Any) -> Any:
    """What a call returned.  Raises what it raised, if that is an error of ours, and else Ray's error."""
    try:
        return ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, VsearchError):
            raise error.cause from None
        raise
