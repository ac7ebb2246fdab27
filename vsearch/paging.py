"""Results beyond the first ones, without asking for all of those before them again.

What was shown is left out of what is asked next, so each step wants few results, and an index stays quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np

from vsearch.errors import QueryError
from vsearch.store import Snapshot
from vsearch.types import Hit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]
    Bitmap = NDArray[np.uint8]
    Turn = Callable[[Snapshot, frozenset[int], int], list[Hit]]
    Find = Callable[[int, frozenset[int]], tuple[Matrix, Ids]]


MAX_K = 100_000


def checked(k: int, offset: int = 0) -> int:
    """The number of results.  Raises QueryError for such as nobody can have."""
    if not 1 <= k <= MAX_K:
        raise QueryError(f"k is {k}; ask for 1 to {MAX_K:,} results")
    if not 0 <= offset <= MAX_K - k:
        raise QueryError(f"offset is {offset}; with {k:,} results it is 0 to {MAX_K - k:,}")
    return k


def pages(moments: Callable[[], AbstractContextManager[Snapshot]], page: int, turn: Turn) -> Iterator[list[Hit]]:
    """Pages until there are no more.  turn: the best ``page`` of a moment without those shown, and older than an id."""
    shown: set[int] = set()
    watermark = None
    while True:
        with moments() as snapshot:
            watermark = snapshot.head.next_id if watermark is None else watermark
            found = turn(snapshot, frozenset(shown), watermark)
        if found:
            yield found
        if len(found) < page:
            return
        shown.update(hit.id for hit in found)


def window(find: Find, k: int, offset: int) -> tuple[Matrix, Ids]:
    """Results ``offset`` to ``offset + k`` of one query: scores and ids, (n,) with n <= k, best first.

    find: the best of a number of results without some ids: scores and ids, (1, number), -1 for none.
    The list is that of the first k, then k more, then 2k, 4k, and so on: the same for every offset, so that windows
    of one size fit together, and found with few searches.
    """
    scores, ids = find(k, frozenset())
    scores, ids = scores[0], ids[0]
    while len(ids) < offset + k and (ids >= 0).all():
        more_scores, more_ids = find(len(ids), frozenset(ids.tolist()))
        scores, ids = np.append(scores, more_scores[0]), np.append(ids, more_ids[0])
    there = ids >= 0
    part = slice(offset, offset + k)
    return scores[there][part], ids[there][part]


def older(bitmap: Bitmap, watermark: int) -> Bitmap:
    """A bitmap of ids without those from a watermark on."""
    kept = np.zeros_like(bitmap)
    whole, rest = divmod(watermark, 8)
    kept[:whole] = bitmap[:whole]
    if rest and whole < len(bitmap):
        kept[whole] = bitmap[whole] & ((1 << rest) - 1)
    return kept
