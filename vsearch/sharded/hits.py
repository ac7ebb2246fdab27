"""The hits of several shards as those of one index."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from vsearch.results import Hits
from vsearch.sharded.shard import Found
from vsearch.types import Hit

ID_BITS = 40  # of a shard's own ids; its number stands above them


class ShardedHits(Hits):
    """Hits, and the shards that did not answer.

    missing: paths of those shards.  While there is one, better hits may be missing too.
    """

    __slots__ = ("missing",)

    def __init__(self, count: int, make: Callable[[int], Hit], missing: tuple[str, ...] = ()) -> None:
        super().__init__(count, make)
        self.missing = missing

    @property
    def partial(self) -> bool:
        """Whether a shard did not answer."""
        return bool(self.missing)


def gathered(answers: Mapping[int, Sequence[Found]], k: int, missing: tuple[str, ...]) -> ShardedHits:
    """The best k of all answers, by the number of the shard.

    As in one index, pictures with the same bytes are one hit.  Ids are unique over all shards: the shard's number in
    the bits from the 40th on.  Confidences are left out: each shard has its own scale.
    """
    ranked = sorted(
        ((hit, content, shard) for shard, found in answers.items() for hit, content in found),
        key=lambda one: (-one[0].score, one[2], one[0].rank),
    )
    best: dict[bytes, Hit] = {}
    for hit, content, shard in ranked:
        known = best.get(content)
        if known is None:
            best[content] = replace(hit, id=(shard << ID_BITS) | hit.id, confidence=None)
        else:
            best[content] = replace(known, raw_copies=(*known.raw_copies, hit.raw_path, *hit.raw_copies))
    hits = [replace(hit, rank=rank) for rank, hit in enumerate(list(best.values())[:k], 1)]
    return ShardedHits(len(hits), hits.__getitem__, missing)
