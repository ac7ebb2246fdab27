"""The one search path: ANN candidates and the exact tail, scored again from stored vectors, until there are k."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vsearch.ann import AnnIndex
from vsearch.exact import merge, topk
from vsearch.recipe import Modality, Recipe
from vsearch.store import Snapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]


def search(
    snapshot: Snapshot,
    xq: Matrix,
    k: int,
    modality: Modality,
    ann: AnnIndex | None = None,
    recipe: Recipe | None = None,
    exclude: frozenset[int] = frozenset(),
) -> tuple[Matrix, Ids]:
    """The k nearest live pictures of one consistent moment.

    xq: (nq, dim) float32, unit length.  ann: any generation of this space; what is newer than it is searched
    exactly, so age costs only time.  exclude: ids to leave out (query pictures).
    Returns scores (nq, k) float32, cosine in [-1, 1], highest first; ids (nq, k) int64, -1 where fewer exist.
    """
    live = snapshot.live
    if exclude:
        live = live.copy()
        for id in exclude:
            if 0 <= id < len(live) * 8:
                live[id >> 3] &= ~np.uint8(1 << (id & 7))

    def shown(ids: Ids) -> NDArray[np.bool_]:
        told: NDArray[np.bool_] = (live[ids >> 3] >> (ids & 7).astype(np.uint8)) & 1 == 1
        return told

    if ann is None or recipe is None:
        return topk(xq, snapshot.blocks(), k, shown)
    settings = recipe.search(modality)
    candidates = ann.search(xq, k * settings.rescore, settings, live)
    found = merge(
        _rescored(snapshot, xq, candidates),
        topk(xq, snapshot.blocks(ann.upto), k, shown),
        k,
    )
    possible = min(k, int(np.bitwise_count(live).sum()))
    if (found[1][:, :possible] < 0).any():
        # The lists visited hold too few live pictures: few enough matches that looking at everything is the answer.
        return topk(xq, snapshot.blocks(), k, shown)
    return found


def _rescored(snapshot: Snapshot, xq: Matrix, candidates: Ids) -> tuple[Matrix, Ids]:
    """Exact scores of the candidates from the stored vectors; what does not exist any more is dropped."""
    wanted = np.unique(candidates[candidates >= 0])
    wanted = wanted[snapshot.is_live(wanted)]
    vectors = snapshot.vectors(wanted)
    at = np.searchsorted(wanted, candidates)
    at = np.minimum(at, max(0, len(wanted) - 1))
    exists = (candidates >= 0) & (wanted[at] == candidates if len(wanted) else np.zeros_like(candidates, bool))
    scores = np.full(candidates.shape, -np.inf, np.float32)
    for row, (query, mask) in enumerate(zip(xq, exists, strict=True)):
        scores[row, mask] = vectors[at[row, mask]] @ query
    return scores, np.where(exists, candidates, -1)
