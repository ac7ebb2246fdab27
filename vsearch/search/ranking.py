"""From nearest vectors to hits: files with the same bytes are one picture, and k means k distinct pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from vsearch.errors import IndexCorrupt
from vsearch.members import address
from vsearch.results import Hits
from vsearch.store import Record, Snapshot, content_of
from vsearch.types import Hit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bitmap = NDArray[np.uint8]
    Ids = NDArray[np.int64]
    Scores = NDArray[np.float32]
    Nearest = Callable[[int, frozenset[int]], tuple[Scores, Ids]]
    Rate = Callable[[float], float]

MAX_K = 100_000


@dataclass(slots=True)
class Match:
    """A picture that was found.  raw: its record as it lies in LMDB, checked.  copies: paths of its copies."""

    score: float
    id: int
    raw: bytes
    copies: tuple[bytes, ...]


def ranked(snapshot: Snapshot, k: int, nearest: Nearest, exclude: Iterable[int] = ()) -> Iterator[Match]:
    """All distinct pictures, each with the paths of its copies: the k best first, then k more, then 2k, 4k, and so on.

    Within each of these steps the best comes first, and what came before is left out of what is searched next: a page
    far down costs few searches, and pages of one size fit together.
    nearest: takes how many and the ids to leave out, and gives scores (n,) and ids (n,), best first, -1 for none.
    exclude: ids of pictures to leave out, with all of their copies.
    Raises what ``nearest`` raises, and IndexCorrupt for an id without a record.
    """
    hidden = set(exclude)
    _add_copies(snapshot, hidden)
    wanted, first = k, True
    while True:
        step = _distinct(snapshot, wanted, nearest, hidden)
        yield from step
        if len(step) < wanted:
            return
        hidden.update(match.id for match in step)
        _add_copies(snapshot, hidden)
        wanted, first = (wanted if first else 2 * wanted), False


def _distinct(snapshot: Snapshot, k: int, nearest: Nearest, exclude: set[int]) -> list[Match]:
    """The k best distinct pictures.

    Where copies took places among the k, it is asked again without them, for twice as many: a picture of a million
    copies costs one more search.
    """
    hidden = set(exclude)
    matches: dict[bytes, Match] = {}
    wanted = k
    while True:
        scores, ids = nearest(wanted, frozenset(hidden))
        _fold(snapshot, scores, ids, matches, hidden)
        if len(matches) >= k or (ids < 0).any():
            return sorted(matches.values(), key=lambda match: (-match.score, match.id))[:k]
        wanted = min(2 * wanted, MAX_K)


def _add_copies(snapshot: Snapshot, ids: set[int]) -> None:
    records = [record for id in ids if (record := snapshot.record(id)) is not None]
    ids.update(*(snapshot.with_content(record.content) for record in records))


def _fold(snapshot: Snapshot, scores: Scores, ids: Ids, matches: dict[bytes, Match], hidden: set[int]) -> None:
    """Add results, (n,) each, -1 for none, to ``matches`` by content, unless they are copies of some that are there."""
    known = ids >= 0
    ids, scores = ids[known], np.clip(scores[known], -1, 1)
    raws = snapshot.raw_records(ids)
    copies = snapshot.copies({content_of(raw) for raw in raws if raw is not None})
    for score, id, raw in zip(scores.tolist(), ids.tolist(), raws, strict=True):
        if raw is None:
            raise IndexCorrupt(f"the picture with id {id} has lost its record; mend it with: vsearch repair", (id,))
        content = content_of(raw)
        if content not in matches:
            match = Match(score, id, raw, ())
            matches[content] = _with_copies(snapshot, match, copies[content], hidden) if content in copies else match


def _with_copies(snapshot: Snapshot, match: Match, same: list[int], hidden: set[int]) -> Match:
    """A match with its copies: what is still in its place stands before what is not, in both."""
    others = np.array([other for other in same if other != match.id], np.int64)
    copies = others[snapshot.is_live(others)].tolist()
    hidden.update(copies)
    raws = {id: raw for id, raw in zip(copies, snapshot.raw_records(np.array(copies, np.int64)), strict=True) if raw}
    paths = {id: Record.unpack(raw).path for id, raw in {match.id: match.raw, **raws}.items()}
    first, *behind = sorted(paths, key=lambda id: (not address.is_there(paths[id]), id != match.id, paths[id]))
    return Match(match.score, first, raws.get(first, match.raw), tuple(paths[id] for id in behind))


def page(matches: Iterator[Match], k: int, offset: int = 0) -> list[Match]:
    """Matches ``offset`` to ``offset + k``."""
    return list(islice(matches, offset, offset + k))


def as_hits(matches: list[Match], first: int, rate: Rate | None) -> Hits:
    """Matches as hits, with ranks from ``first``.  rate: the confidence of a score, in [0, 1]."""

    def make(place: int) -> Hit:
        match = matches[place]
        record = Record.unpack(match.raw)
        at = (record.path, record.caption, record.width, record.height)
        confidence = None if rate is None else rate(match.score)
        return Hit(first + place, match.id, match.score, *at, raw_copies=match.copies, confidence=confidence)

    return Hits(len(matches), make)


def older(bitmap: Bitmap, watermark: int) -> Bitmap:
    """A bitmap of ids without those from a watermark on."""
    kept = np.zeros_like(bitmap)
    whole, rest = divmod(watermark, 8)
    kept[:whole] = bitmap[:whole]
    if rest and whole < len(bitmap):
        kept[whole] = bitmap[whole] & ((1 << rest) - 1)
    return kept
