"""Results beyond the first ones, without asking for all of those before them again.

What was shown is left out of what is asked next, so each step wants few results, and an index stays quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np

from vsearch.hits import Found
from vsearch.results import Hits
from vsearch.store import Snapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bitmap = NDArray[np.uint8]
    Turn = Callable[[Snapshot, frozenset[int], int, int], Hits]
    Find = Callable[[int, frozenset[int]], list[Found]]


def pages(moments: Callable[[], AbstractContextManager[Snapshot]], page: int, turn: Turn) -> Iterator[Hits]:
    """Pages until there are no more.

    turn: the best ``page`` of a moment without those shown, and older than an id, with ranks from a number on.
    """
    shown: set[int] = set()
    watermark = None
    while True:
        with moments() as snapshot:
            watermark = snapshot.head.next_id if watermark is None else watermark
            found = turn(snapshot, frozenset(shown), watermark, len(shown) + 1)
        if found:
            yield found
        if len(found) < page:
            return
        shown.update(hit.id for hit in found)


def window(find: Find, k: int, offset: int) -> list[Found]:
    """Results ``offset`` to ``offset + k`` of one query, best first.

    find: the best of a number of results, without those of some ids.
    The list is that of the first k, then k more, then 2k, 4k, and so on: the same for every offset, so that windows
    of one size fit together, and found with few searches.
    """
    found = find(k, frozenset())
    wanted = k
    while len(found) == wanted < offset + k:
        found = found + find(wanted, frozenset(one.id for one in found))
        wanted *= 2
    return found[offset : offset + k]


def older(bitmap: Bitmap, watermark: int) -> Bitmap:
    """A bitmap of ids without those from a watermark on."""
    kept = np.zeros_like(bitmap)
    whole, rest = divmod(watermark, 8)
    kept[:whole] = bitmap[:whole]
    if rest and whole < len(bitmap):
        kept[whole] = bitmap[whole] & ((1 << rest) - 1)
    return kept
