"""The one search path: ANN candidates and the exact tail, scored again from stored vectors, until there are k."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vsearch.ann import AnnIndex, Searchable
from vsearch.exact import merge, rescore, topk
from vsearch.recipe import Modality, SearchSettings
from vsearch.store import Snapshot
from vsearch.store import live as live_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]
    Bitmap = NDArray[np.uint8]

# From this share of a collection on, scoring candidates again costs more than scoring everything.
MOST_CANDIDATES = 0.25
# Up to this share of the rows, reading those that a filter lets through one by one is quicker than reading all.
SCATTERED = 0.5
# Up to this many numbers, rows times dimensions, comparing them all is quicker than any index.
FEW = 1 << 20
# Lists visited grow with this power of how much a filter thins them out: with 0.2, filters that have nothing to do with
# the query were answered with the recall of unfiltered searches, or better, down to one picture of a thousand.
WIDENING = 0.2
# A filter that has to do with the query is known by lists that hold too little: fewer than this many candidates for
# each result, and more lists are visited, four times as many each time.
ENOUGH, STEP = 8, 4


def search(
    snapshot: Snapshot,
    xq: Matrix,
    k: int,
    modality: Modality,
    generation: Searchable | None = None,
    exclude: frozenset[int] = frozenset(),
    allowed: Bitmap | None = None,
) -> tuple[Matrix, Ids]:
    """The k nearest live pictures of one consistent moment.

    xq: (nq, dim) float32, unit length.  generation: any one of this space; what is newer than it is searched
    exactly, so age costs only time.  exclude: ids to leave out (query pictures, earlier pages).
    allowed: bitmap of the ids that a filter lets through.
    Returns scores (nq, k) float32, cosine in [-1, 1], highest first; ids (nq, k) int64, -1 where fewer exist.
    """
    passing = Passing(snapshot, exclude, allowed)
    if generation is None or passing.count * xq.shape[1] <= FEW:
        return passing.exact(xq, k)
    ann, settings = generation.index, generation.recipe.search(modality)
    wanted = k * settings.rescore
    if wanted > max(MOST_CANDIDATES * len(ann), 10 * settings.rescore) or wanted > passing.count:
        return passing.exact(xq, k)
    candidates = _candidates(ann, xq, min(wanted, len(ann)), k, settings, passing)
    found = rescore(xq, candidates, k, snapshot.vectors)
    if snapshot.head.next_id > ann.upto:
        found = merge(found, passing.exact(xq, k, ann.upto), k)
    if (found[1][:, : min(k, passing.count)] < 0).any():
        # The lists visited hold too few that pass: few enough that comparing all of them is the answer.
        return passing.exact(xq, k)
    return found


def _candidates(ann: AnnIndex, xq: Matrix, wanted: int, k: int, settings: SearchSettings, passing: Passing) -> Ids:
    """Candidates (nq, wanted) among those that pass, -1 for none: the lists visited grow until there are enough."""
    enough = min(wanted, ENOUGH * k)
    settings = widened(settings, ann, passing.count, enough)
    found = ann.search(xq, wanted, settings, passing.bitmap)
    most = ann.core.nlist if ann.has_lists else len(ann) // STEP
    while settings.nprobe < most and (short := found[:, enough - 1] < 0).any():
        settings = replace(settings, nprobe=min(most, STEP * settings.nprobe))
        found[short] = ann.search(xq[short], wanted, settings, passing.bitmap)
    return found


def widened(settings: SearchSettings, ann: AnnIndex, count: int, enough: int) -> SearchSettings:
    """Settings for searching where only ``count`` of the vectors may be found.

    The best of those lie further from the query than the best of all, in more lists.
    """
    thinned = len(ann) / max(count, 1)
    if thinned <= 1.0:
        return settings
    if not ann.has_lists:
        return replace(settings, nprobe=math.ceil(min(settings.nprobe * thinned, len(ann))))
    lists = max(settings.nprobe * thinned**WIDENING, 2 * enough * ann.core.nlist / max(count, 1))
    return replace(settings, nprobe=math.ceil(min(lists, ann.core.nlist)))


class Passing:
    """Which pictures may be found: live ones, without those excluded, that a filter lets through."""

    def __init__(self, snapshot: Snapshot, exclude: frozenset[int], allowed: Bitmap | None) -> None:
        self._snapshot = snapshot
        self.bitmap = _without(snapshot.live if allowed is None else snapshot.live & allowed, exclude)
        self.count = int(np.bitwise_count(self.bitmap).sum())

    def exact(self, xq: Matrix, k: int, start: int = 0) -> tuple[Matrix, Ids]:
        """The k best of those with ids from ``start`` on, by comparing all of them."""
        rows = self._snapshot.head.next_id
        if self.count <= SCATTERED * rows:
            ids = live_ids.ids(self.bitmap)
            return topk(xq, self._snapshot.blocks_of(ids[np.searchsorted(ids, start) :]), k, _all)
        return topk(xq, self._snapshot.blocks(start), k, self._passes)

    def _passes(self, ids: Ids) -> NDArray[np.bool_]:
        told: NDArray[np.bool_] = (self.bitmap[ids >> 3] >> (ids & 7).astype(np.uint8)) & 1 == 1
        return told


def _all(ids: Ids) -> NDArray[np.bool_]:
    return np.ones(len(ids), bool)


def _without(live: NDArray[np.uint8], exclude: frozenset[int]) -> NDArray[np.uint8]:
    if not exclude:
        return live
    live = live.copy()
    ids = np.fromiter(exclude, np.int64, len(exclude))
    ids = ids[(ids >= 0) & (ids < len(live) * 8)]
    np.bitwise_and.at(live, ids >> 3, ~(np.uint8(1) << (ids & 7).astype(np.uint8)))
    return live
