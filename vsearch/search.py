"""The one search path: ANN candidates and the exact tail, scored again from stored vectors, until there are k."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vsearch.ann import Searchable
from vsearch.exact import merge, rescore, topk
from vsearch.recipe import Modality
from vsearch.store import Snapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

# From this share of a collection on, scoring candidates again costs more than scoring everything.
MOST_CANDIDATES = 0.25


def search(
    snapshot: Snapshot,
    xq: Matrix,
    k: int,
    modality: Modality,
    generation: Searchable | None = None,
    exclude: frozenset[int] = frozenset(),
) -> tuple[Matrix, Ids]:
    """The k nearest live pictures of one consistent moment.

    xq: (nq, dim) float32, unit length.  generation: any one of this space; what is newer than it is searched
    exactly, so age costs only time.  exclude: ids to leave out (query pictures).
    Returns scores (nq, k) float32, cosine in [-1, 1], highest first; ids (nq, k) int64, -1 where fewer exist.
    """
    live = _without(snapshot.live, exclude)

    def shown(ids: Ids) -> NDArray[np.bool_]:
        told: NDArray[np.bool_] = (live[ids >> 3] >> (ids & 7).astype(np.uint8)) & 1 == 1
        return told

    if generation is None:
        return topk(xq, snapshot.blocks(), k, shown)
    ann, settings = generation.index, generation.recipe.search(modality)
    wanted = k * settings.rescore
    if wanted > max(MOST_CANDIDATES * len(ann), 10 * settings.rescore):
        return topk(xq, snapshot.blocks(), k, shown)
    candidates = ann.search(xq, min(wanted, len(ann)), settings, live)
    found = rescore(xq, candidates, k, snapshot.vectors)
    if snapshot.head.next_id > ann.upto:
        found = merge(found, topk(xq, snapshot.blocks(ann.upto), k, shown), k)
    if (found[1] < 0).any() and (found[1][:, : min(k, int(np.bitwise_count(live).sum()))] < 0).any():
        # The lists visited hold too few live pictures: few enough matches that looking at everything is the answer.
        return topk(xq, snapshot.blocks(), k, shown)
    return found


def _without(live: NDArray[np.uint8], exclude: frozenset[int]) -> NDArray[np.uint8]:
    if not exclude:
        return live
    live = live.copy()
    for id in exclude:
        if 0 <= id < len(live) * 8:
            live[id >> 3] &= ~np.uint8(1 << (id & 7))
    return live
