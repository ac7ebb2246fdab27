"""Which pictures may be found, and what exact search finds of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vsearch.compare import prepare, rows_at_once
from vsearch.exact import topk
from vsearch.store import Snapshot
from vsearch.store import live as live_ids
from vsearch.store.snapshot import BLOCK_ROWS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]
    Bitmap = NDArray[np.uint8]

# Up to this share of the rows, reading those that a filter lets through one by one is quicker than reading all.
SCATTERED = 0.5
# A few pictures left out, such as those of the query, take no place that others would not fill.
MANY = 64


class Passing:
    """Which pictures may be found: live ones, without those excluded, that a filter lets through.

    narrowed: whether what is left out may have to do with the query, as a filter or earlier pages do.
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
            return topk(xq, self._snapshot.blocks_of(ids[np.searchsorted(ids, start) :]), k, _all)
        most = rows_at_once(len(xq), BLOCK_ROWS)
        return topk(xq, self._snapshot.blocks(start, most), k, self._passes)

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
