"""Pairs of stored pictures with nearly the same vector, by searching with each picture: no scan over all pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from vsearch.store import Snapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]
    Find = Callable[[Matrix, int], tuple[Matrix, Ids]]

BLOCK = 1024
FIRST_K = 8
MOST_K = 128  # neighbours of one picture; a burst of more is found from its other members


def pairs(snapshot: Snapshot, ids: Ids, least: float, find: Find) -> Iterator[tuple[Ids, Matrix]]:
    """Pairs of pictures whose cosine is at least ``least``, in blocks: (n, 2) ids, the lower first, and (n,) cosines.

    ids: ascending; both of a pair are among them.  find: takes (nq, dim) unit vectors and k, and gives scores and ids
    (nq, k), best first, -1 for none, of pictures among ``ids``.  Where all k of a picture are over the threshold, it
    is asked again for more, up to 128.  A pair may come twice.
    """
    for first in range(0, len(ids), BLOCK):
        mine = ids[first : first + BLOCK]
        xq = snapshot.vectors(mine)
        xq /= np.linalg.norm(xq, axis=1, keepdims=True)
        k, rows = FIRST_K, np.arange(len(mine))
        while len(rows):
            scores, found = find(xq[rows], k)
            full = (found[:, -1] >= 0) & (scores[:, -1] >= least) & (k < MOST_K)
            yield _over(mine[rows[~full]], scores[~full], found[~full], least)
            rows, k = rows[full], min(4 * k, MOST_K)


def _over(own: Ids, scores: Matrix, found: Ids, least: float) -> tuple[Ids, Matrix]:
    own = np.broadcast_to(own[:, None], found.shape)
    good = (found >= 0) & (found != own) & (scores >= least)
    return np.sort(np.stack([own[good], found[good]], axis=1), axis=1), scores[good]
