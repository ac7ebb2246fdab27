"""How much of an index is visited where only some of its vectors may be found."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vsearch.ann import AnnIndex
from vsearch.kernels import rescore
from vsearch.recipe import SearchSettings
from vsearch.store import Snapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]
    Bitmap = NDArray[np.uint8]

# Lists visited grow with this power of how much a filter thins them out: with it, filters that have nothing to do with
# the query were answered with the recall of unfiltered searches, or better, down to one picture of a thousand.
WIDENING = 0.12
# A filter that has to do with the query is known by its results.  Either the lists hold too little, fewer than this
# many candidates for each result; or more than this share of the results comes from the last half of the lists, so
# that more are to be expected behind them.  Then more lists are visited, four times as many each time, until that
# changes nothing.
ENOUGH, LATE, STEP = 8, 0.1, 4


def probe(
    snapshot: Snapshot, ann: AnnIndex, xq: Matrix, k: int, settings: SearchSettings, bitmap: Bitmap, count: int | None
) -> tuple[Matrix, Ids]:
    """The k best of some of an index's vectors, by exact score: scores (nq, k) and ids (nq, k), -1 for none.

    bitmap: the ids that may be found.  count: how many they are, where that may have to do with the query, as with a
    filter; None where it does not, and the settings are right as they are.
    """
    wanted = min(k * settings.rescore, len(ann))
    enough = min(wanted, ENOUGH * k)
    if count is not None:
        settings = _widened(settings, ann, count, enough)
    candidates = ann.search(xq, wanted, settings, bitmap)
    scores, ids = rescore(xq, candidates, k, snapshot.vectors)
    open_, changed = np.arange(len(xq)), np.zeros(len(xq), bool)
    most = ann.core.nlist if ann.has_lists else len(ann) // STEP
    while count is not None and settings.nprobe < most:
        late = changed | (candidates[:, enough - 1] < 0)
        if ann.has_lists:
            late |= _late(snapshot, ann, xq[open_], ids[open_], settings.nprobe)
        open_ = open_[late]
        if not len(open_):
            break
        settings = replace(settings, nprobe=min(most, STEP * settings.nprobe))
        candidates = ann.search(xq[open_], wanted, settings, bitmap)
        before = ids[open_]
        scores[open_], ids[open_] = rescore(xq[open_], candidates, k, snapshot.vectors)
        changed = (ids[open_] != before).any(axis=1)
    return scores, ids


def _widened(settings: SearchSettings, ann: AnnIndex, count: int, enough: int) -> SearchSettings:
    """Settings to begin with where only ``count`` of the vectors may be found.

    The best of those lie further from the query than the best of all, in more lists.
    """
    thinned = len(ann) / max(count, 1)
    if not ann.has_lists:
        return replace(settings, nprobe=math.ceil(min(settings.nprobe * thinned, len(ann))))
    lists = max(settings.nprobe * thinned**WIDENING, 2 * enough * ann.core.nlist / max(count, 1))
    return replace(settings, nprobe=math.ceil(min(lists, ann.core.nlist)))


def _late(snapshot: Snapshot, ann: AnnIndex, xq: Matrix, ids: Ids, nprobe: int) -> NDArray[np.bool_]:
    """For which queries more of the results lie in the last half of the lists visited than is left to chance, (nq,)."""
    _, lists = ann.core.quantizer.search(
        np.ascontiguousarray(xq if ann.queries is None else xq @ ann.queries.T), nprobe
    )
    out = np.zeros(len(xq), bool)
    for row, results in enumerate(ids):
        known = np.sort(results[results >= 0])
        if len(known):
            vectors = snapshot.vectors(known)
            vectors = vectors if ann.matrix is None else vectors @ ann.matrix.T
            centroids = ann.core.quantizer.reconstruct_batch(lists[row])
            # The nearest by distance, which is how vectors were put into lists.
            nearest = np.argmax(vectors @ centroids.T - 0.5 * np.einsum("ij,ij->i", centroids, centroids), axis=1)
            out[row] = (nearest >= nprobe // 2).mean() > LATE
    return out
