"""Files with the same bytes are one picture: they fold into one hit, and k means k distinct pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vsearch.errors import IndexCorrupt, QueryError
from vsearch.members import address
from vsearch.results import Hits
from vsearch.store import Record, Snapshot, content_of
from vsearch.types import Hit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rate = Callable[[float], float]
    Find = Callable[[int, frozenset[int]], tuple[NDArray[np.float32], NDArray[np.int64]]]

MAX_K = 100_000


def check_k(k: int, offset: int = 0) -> None:
    """Raise QueryError for numbers of results that nobody can have."""
    if not 1 <= k <= MAX_K:
        raise QueryError(f"k is {k}; ask for 1 to {MAX_K:,} results")
    if not 0 <= offset <= MAX_K - k:
        raise QueryError(f"offset is {offset}; with {k:,} results it is 0 to {MAX_K - k:,}")


def check_confidence(least: float | None) -> None:
    """Raise QueryError for a confidence that no hit can have."""
    if least is not None and not 0 <= least <= 1:
        raise QueryError(f"a confidence of at least {least}; it is in [0, 1]")


@dataclass(slots=True)
class Found:
    """A result before it is shown.  raw: its record as it lies in LMDB, checked.  copies: paths of its copies."""

    score: float
    id: int
    raw: bytes
    copies: tuple[bytes, ...]


def shown(found: list[Found], first: int, rate: Rate | None) -> Hits:
    """Results as hits, with ranks from ``first``."""

    def make(place: int) -> Hit:
        one = found[place]
        record = Record.unpack(one.raw)
        at = (record.path, record.caption, record.width, record.height)
        sure = None if rate is None else rate(one.score)
        return Hit(first + place, one.id, one.score, *at, raw_copies=one.copies, confidence=sure)

    return Hits(len(found), make)


def distinct(snapshot: Snapshot, k: int, find: Find, exclude: Iterable[int] = ()) -> list[Found]:
    """The k best distinct pictures, each with the paths of its copies.

    find: takes how many and the ids to leave out, and gives scores (n,) and ids (n,), best first, -1 for none.
    exclude: pictures to leave out, with all of their copies.
    Where copies took places among the k, it is asked again without them, for twice as many: a picture of a million
    copies costs one more search.  Raises what ``find`` raises, and IndexCorrupt for an id without a record.
    """
    hidden = _with_copies(snapshot, exclude)
    found: dict[bytes, Found] = {}
    wanted = k
    while True:
        scores, ids = find(wanted, frozenset(hidden))
        _take(snapshot, scores, ids, found, hidden)
        if len(found) >= k or (ids < 0).any():
            break
        wanted = min(2 * wanted, MAX_K)
    return sorted(found.values(), key=lambda one: (-one.score, one.id))[:k]


def _with_copies(snapshot: Snapshot, ids: Iterable[int]) -> set[int]:
    told = set(ids)
    records = [record for id in told if (record := snapshot.record(id)) is not None]
    return told.union(*(snapshot.with_content(record.content) for record in records))


def _take(
    snapshot: Snapshot,
    scores: NDArray[np.float32],
    ids: NDArray[np.int64],
    found: dict[bytes, Found],
    hidden: set[int],
) -> None:
    """Account for results, (n,) each, -1 for none, unless they are copies of some that are there."""
    there = ids >= 0
    ids, scores = ids[there], np.clip(scores[there], -1, 1)
    raws = snapshot.raw_records(ids)
    copies = snapshot.copies({content_of(raw) for raw in raws if raw is not None})
    for score, id, raw in zip(scores.tolist(), ids.tolist(), raws, strict=True):
        if raw is None:
            raise IndexCorrupt(f"the picture with id {id} has lost its record; mend it with: vsearch repair", (id,))
        content = content_of(raw)
        if content not in found:
            first = Found(score, id, raw, ())
            found[content] = (
                _with_copies_behind(snapshot, first, copies[content], hidden) if content in copies else first
            )


def _with_copies_behind(snapshot: Snapshot, found: Found, same: list[int], hidden: set[int]) -> Found:
    """A result with its copies: what is still in its place stands before what is not, in both."""
    others = np.array([other for other in same if other != found.id], np.int64)
    copies = others[snapshot.is_live(others)].tolist()
    hidden.update(copies)
    raws = {id: raw for id, raw in zip(copies, snapshot.raw_records(np.array(copies, np.int64)), strict=True) if raw}
    paths = {id: Record.unpack(raw).path for id, raw in {found.id: found.raw, **raws}.items()}
    first, *behind = sorted(paths, key=lambda id: (not address.is_there(paths[id]), id != found.id, paths[id]))
    return Found(found.score, first, raws.get(first, found.raw), tuple(paths[id] for id in behind))
