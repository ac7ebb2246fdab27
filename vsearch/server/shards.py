"""Shards on a Ray cluster as one collection.

Searching is done by the cluster's actors.  What a hit is called, its records and its file are read here: the shards'
indexes and pictures are at the same paths on all machines.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from vsearch.server import answers, schemas
from vsearch.server.batching import Batched
from vsearch.server.collection import Collection, collections
from vsearch.server.faults import Refused
from vsearch.server.opening import gone

if TYPE_CHECKING:
    from vsearch.index import Index
    from vsearch.search.query import Decode
    from vsearch.types import Query

T = TypeVar("T")

NAME = "shards"


class Shards:
    """Several indexes behind the face of one.  What only one index can do is refused with 501.

    index: searches them.  shards: the same indexes, opened here.
    """

    name = NAME

    def __init__(self, address: str, paths: list[Path], decode: Decode) -> None:
        """address: of the cluster, as ``vsearch.cluster`` takes it.  Raises ClusterError, and what opening raises."""
        from vsearch.distributed import connect
        from vsearch.sharded import ShardedIndex

        with ExitStack() as opened:
            self.shards = list(collections(paths, decode).values())
            for shard in self.shards:
                opened.callback(shard.close)
            cluster = opened.enter_context(connect(address))
            self.index = opened.enter_context(ShardedIndex(cluster, paths))
            self.index.route(encoder=Batched, decode=decode)
            self._opened = opened.pop_all()

    def close(self) -> None:
        """End the actors, leave the cluster, and release the indexes."""
        self._opened.close()

    def ask(self, question: Callable[[Index], T]) -> T:
        """No question about one index can be answered.  Raises Refused (501)."""
        raise _not_over_shards("this cannot be done over shards; search for words or a picture")

    def count(self) -> int:
        """How many pictures there are in all shards."""
        return sum(shard.count() for shard in self.shards)

    def warm(self) -> None:
        """Load what the first query would wait for."""
        self.index.warm()

    def holding(self, id: int) -> tuple[Collection, int]:
        """The shard that a picture is in, and its id there.  Raises Refused (404)."""
        from vsearch.sharded.hits import ID_BITS

        number, own = id >> ID_BITS, id & ((1 << ID_BITS) - 1)
        if number >= len(self.shards):
            raise gone()
        return self.shards[number], own

    def described(self) -> schemas.Collection:
        """As one collection.  Filters may ask for the columns of each shard; those are not listed."""
        encoder = Path(self.index.encoder_info.name).name
        return schemas.Collection(NAME, self.count(), encoder, False, [], _together(self._told()))

    def search(self, query: Query, asked: schemas.Search) -> schemas.Answer:
        """The best k, without a cursor.  Raises Refused (501) for what shards cannot do together."""
        if asked.rerank or asked.more or asked.less or asked.min_confidence is not None:
            raise _not_over_shards("over shards there are no confidences, no feedback by ids and no re-ranking")
        if any(part.id is not None for part in asked.parts):
            raise _not_over_shards("over shards a query has texts and images; send the picture instead of its id")
        started = time.perf_counter()
        found = self.index.search(query, asked.k, where=asked.where, include_query=asked.include_query)
        told = self._told()
        names = {place.path: shard.name for place, shard in zip(self.index.places, self.shards, strict=True)}
        hits = [answers.hit(hit, told[self.shards.index(self.holding(hit.id)[0])][0]) for hit in found]
        spent = round(1000 * (time.perf_counter() - started), 3)
        missing = [names[path] for path in found.missing]
        return schemas.Answer(hits, None, None, False, _together(told), spent, missing)

    def _told(self) -> list[tuple[tuple[bytes, ...], str]]:
        """Roots and generation of each shard."""

        def told(index: Index) -> tuple[tuple[bytes, ...], str]:
            with index.store.snapshot() as snapshot:
                return snapshot.roots(), answers.generation(snapshot)

        return [shard.ask(told) for shard in self.shards]


def _together(told: list[tuple[tuple[bytes, ...], str]]) -> str:
    """A name for what all shards say now."""
    return hashlib.sha256(" ".join(generation for _, generation in told).encode()).hexdigest()[:16]


def _not_over_shards(message: str) -> Refused:
    return Refused(501, "NotOverShards", message)
