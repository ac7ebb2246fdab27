"""A query sent to all shards, and the answers that come in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vsearch.sharded.asked import Asked
from vsearch.sharded.place import Place, Replica, answer
from vsearch.sharded.shard import Found

HEDGE = 0.25  # share of the patience after which a second replica is asked: that an actor is dead shows only later


@dataclass
class Scatter:
    """One query on its way.  lock: guards the places, which all queries share."""

    ray: Any
    places: Sequence[Place]
    lock: threading.Lock
    call: tuple[Asked, int, dict[str, Any]]
    answers: dict[int, list[Found]] = field(default_factory=dict)
    running: dict[Any, tuple[Place, Replica]] = field(default_factory=dict)

    def gather(self, patience: float) -> dict[int, list[Found]]:
        """The answers of at most ``patience`` seconds, by the number of the shard.  Raises what a shard raises."""
        started = time.monotonic()
        for place in self.places:
            self._send(place)
        self._take_until(started + HEDGE * patience)
        for place in self._silent():
            self._send(place)
        self._take_until(started + patience)
        with self.lock:
            for place, replica in self.running.values():
                place.failed(replica)
        return self.answers

    def _silent(self) -> list[Place]:
        return [place for place in self.places if place.number not in self.answers]

    def _send(self, place: Place) -> None:
        asked = {id(replica) for _, replica in self.running.values()}
        with self.lock:
            replica = place.next()
        if replica is not None and id(replica) not in asked:
            self.running[replica.actor.search.remote(*self.call)] = (place, replica)

    def _take_until(self, until: float) -> None:
        while self._silent() and self.running and (left := until - time.monotonic()) > 0:
            done, _ = self.ray.wait(list(self.running), timeout=left)
            for ref in done:
                self._take(ref, *self.running.pop(ref))

    def _take(self, ref: Any, place: Place, replica: Replica) -> None:
        try:
            self.answers[place.number] = answer(self.ray, ref)
        except self.ray.exceptions.RayError:
            with self.lock:
                place.failed(replica)
            self._send(place)
