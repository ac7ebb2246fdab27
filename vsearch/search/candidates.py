"""The nearest pictures of one moment: by the ANN index and the exact tail, or by comparing everything.

Candidates of the ANN index are scored again from stored vectors, until there are k of the pictures that may be found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vsearch.ann import Searchable
from vsearch.kernels import merge, prepare, rows_at_once, topk
from vsearch.recipe import Modality
from vsearch.search.probing import probe
from vsearch.store import Snapshot
from vsearch.store import live as live_ids
from vsearch.store.snapshot import BLOCK_ROWS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]
    Bitmap = NDArray[np.uint8]

# From this share of a collection on, scoring candidates again costs more than scoring everything.
MOST_CANDIDATES = 0.25
# Up to this many numbers, rows times dimensions, comparing all that a filter leaves is quicker than any index.
FEW = 1 << 20
# Up to this share of the rows, reading those that a filter lets through one by one is quicker than reading all.
SCATTERED = 0.5
# A few pictures left out, such as those of the query, take no place that others would not fill.
MANY = 64


def nearest(
    snapshot: Snapshot,
    xq: Matrix,
    k: int,
    modality: Modality,
    searchable: Searchable | None = None,
    exclude: frozenset[int] = frozenset(),
    allowed: Bitmap | None = None,
) -> tuple[Matrix, Ids]:
    """The k nearest live pictures of one consistent moment.

    xq: (nq, dim) float32, unit length.  searchable: an ANN index of this space, of any age; what is newer than it is
    searched exactly, so age costs only time.  exclude: ids to leave out (query pictures, earlier pages).
    allowed: bitmap of the ids that a filter lets through.
    Returns scores (nq, k) float32, cosine in [-1, 1], highest first; ids (nq, k) int64, -1 where fewer exist.
    """
    selector = Selector(snapshot, exclude, allowed)
    if searchable is None or (selector.narrowed and selector.count * xq.shape[1] <= FEW):
        return selector.exact(xq, k)
    ann, settings = searchable.index, searchable.recipe.search(modality)
    wanted = k * settings.rescore
    if wanted > max(MOST_CANDIDATES * len(ann), 10 * settings.rescore) or wanted > selector.count:
        return selector.exact(xq, k)
    count = selector.count if selector.narrowed else None
    best = probe(snapshot, ann, xq, k, settings, selector.bitmap, count)
    if snapshot.head.next_id > ann.upto:
        best = merge(best, selector.exact(xq, k, ann.upto), k)
    if (best[1][:, : min(k, selector.count)] < 0).any():
        # The lists visited hold too few that pass: few enough that comparing all of them is the answer.
        return selector.exact(xq, k)
    return best


class Selector:
    """Which pictures may be found: live ones, without those excluded, that a filter lets through.

    bitmap: of their ids.  count: how many they are.  narrowed: whether what is left out may have to do with the query,
    as a filter or earlier pages do.
    """

    def __init__(self, snapshot: Snapshot, exclude: frozenset[int], allowed: Bitmap | None) -> None:
        self._snapshot = snapshot
        self.bitmap = _without(snapshot.live if allowed is None else snapshot.live & allowed, exclude)
        self.count = int(np.bitwise_count(self.bitmap).sum())
        self.narrowed = allowed is not None or len(exclude) > MANY

    def exact(self, xq: Matrix, k: int, start: int = 0) -> tuple[Matrix, Ids]:
        """The k best of those with ids from ``start`` on, by comparing all of them."""
        rows = self._snapshot.head.next_id
        prepare(len(xq) * self.count * xq.shape[1])
        if self.count <= SCATTERED * rows:
            ids = live_ids.ids(self.bitmap)
            return topk(xq, self._snapshot.blocks_of(ids[np.searchsorted(ids, start) :]), k)
        most = rows_at_once(len(xq), BLOCK_ROWS)
        return topk(xq, self._snapshot.blocks(start, most), k, self.bitmap)


def _without(live: Bitmap, exclude: frozenset[int]) -> Bitmap:
    if not exclude:
        return live
    live = live.copy()
    ids = np.fromiter(exclude, np.int64, len(exclude))
    ids = ids[(ids >= 0) & (ids < len(live) * 8)]
    np.bitwise_and.at(live, ids >> 3, ~(np.uint8(1) << (ids & 7).astype(np.uint8)))
    return live
