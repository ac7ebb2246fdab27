"""Files with the same bytes are one picture: they fold into one hit, and k means k distinct pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vsearch.errors import IndexCorrupt, QueryError
from vsearch.store import Snapshot
from vsearch.types import Hit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Find = Callable[[int, frozenset[int]], tuple[NDArray[np.float32], NDArray[np.int64]]]

MAX_K = 100_000


def check_k(k: int, offset: int = 0) -> None:
    """Raise QueryError for numbers of results that nobody can have."""
    if not 1 <= k <= MAX_K:
        raise QueryError(f"k is {k}; ask for 1 to {MAX_K:,} results")
    if not 0 <= offset <= MAX_K - k:
        raise QueryError(f"offset is {offset}; with {k:,} results it is 0 to {MAX_K - k:,}")


def distinct(snapshot: Snapshot, k: int, find: Find, exclude: Iterable[int] = ()) -> list[Hit]:
    """The k best distinct pictures, each with the paths of its copies.

    find: takes how many and the ids to leave out, and gives scores (n,) and ids (n,), best first, -1 for none.
    exclude: pictures to leave out, with all of their copies.
    Where copies took places among the k, it is asked again without them, for twice as many: a picture of a million
    copies costs one more search.  Raises what ``find`` raises, and IndexCorrupt for an id without a record.
    """
    hidden = _with_copies(snapshot, exclude)
    found: dict[bytes, Hit] = {}
    wanted = k
    while True:
        scores, ids = find(wanted, frozenset(hidden))
        for score, id in zip(scores.tolist(), ids.tolist(), strict=True):
            if id >= 0:
                _take(snapshot, score, id, found, hidden)
        if len(found) >= k or (ids < 0).any():
            break
        wanted = min(2 * wanted, MAX_K)
    best = sorted(found.values(), key=lambda hit: (-hit.score, hit.id))[:k]
    return [replace(hit, rank=rank) for rank, hit in enumerate(best, 1)]


def _with_copies(snapshot: Snapshot, ids: Iterable[int]) -> set[int]:
    told = set(ids)
    records = [record for id in told if (record := snapshot.record(id)) is not None]
    return told.union(*(snapshot.with_content(record.content) for record in records))


def _take(snapshot: Snapshot, score: float, id: int, found: dict[bytes, Hit], hidden: set[int]) -> None:
    """Account for one result, unless it is a copy of one that is there."""
    record = snapshot.record(id)
    if record is None:
        raise IndexCorrupt(f"the picture with id {id} has lost its record; mend it with: vsearch repair", (id,))
    if record.content in found:
        return
    others = np.array([other for other in snapshot.with_content(record.content) if other != id], np.int64)
    copies = others[snapshot.is_live(others)].tolist()
    hidden.update(copies)
    paths = sorted(copy.path for other in copies if (copy := snapshot.record(other)) is not None)
    score = min(1.0, max(-1.0, score))
    at = (record.path, record.caption, record.width, record.height)
    found[record.content] = Hit(0, id, score, *at, raw_copies=tuple(paths))
