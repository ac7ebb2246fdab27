"""Find duplicates: the same bytes, and pictures with near vectors that their perceptual hashes confirm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from vsearch.duplicates import calibrate, hashes
from vsearch.duplicates.groups import Keep, groups
from vsearch.duplicates.neighbours import pairs
from vsearch.duplicates.plan import Duplicates, Picture
from vsearch.members.address import is_there
from vsearch.store import Snapshot, Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.embed import Encoder

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]
    Near = dict[bytes, dict[bytes, tuple[float, int]]]

Search = Callable[[Snapshot, "Matrix", int, frozenset[int]], tuple["Matrix", "Ids"]]

Cosine = Callable[[int, int], float]

MOST_STRETCHED = 1.12  # ratio of the shapes of two pictures, one of which may be cropped


def find(
    store: Store,
    search: Search,
    encoder: Callable[[], Encoder],
    *,
    keep: Keep,
    threshold: float | None,
    near: bool,
    within: bool = False,
) -> Duplicates:
    """Find the duplicates among the pictures that are shown; see ``Index.duplicates``.

    search: takes a snapshot, (nq, dim) unit vectors, k, and ids to leave out.
    """
    with store.snapshot() as snapshot:
        pictures = dict(_pictures(snapshot))
        first: dict[bytes, int] = {}
        for id, picture in pictures.items():
            first.setdefault(picture.content, id)
        if not near:
            found = groups(_present(pictures.values(), {}), {}, keep, within=within)
            return Duplicates(found, None, "identical files only", len(pictures), 0, 0)
        ids = np.array(sorted(first.values()), np.int64)
        origin = f"{threshold}, as asked for"
        if threshold is None:
            threshold, origin = calibrate.threshold(snapshot, encoder(), ids) if len(ids) else (calibrate.FALLBACK, "")
        copies = frozenset(pictures.keys() - first.values())

        def among(xq: Matrix, k: int) -> tuple[Matrix, Ids]:
            return search(snapshot, xq, k, copies)

        def cosine(a: int, b: int) -> float:
            one, other = snapshot.vectors(np.array([a, b]))
            return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))

        candidates = _distinct(pairs(snapshot, ids, threshold, among))
        alike, unread = _confirmed(pictures, candidates, threshold, cosine)
    found = groups(_present(pictures.values(), alike), alike, keep, within=within)
    return Duplicates(found, threshold, origin, len(pictures), len(candidates), unread)


def _pictures(snapshot: Snapshot) -> Iterator[tuple[int, Picture]]:
    for id, r in snapshot.items():
        if not r.missing:
            yield id, Picture(id, r.path, r.content, r.width, r.height, r.size, r.mtime_ns)


def _present(pictures: Iterable[Picture], alike: Near) -> list[Picture]:
    """Pictures without those of several alike that are not there: none of them may be kept, or be anybody's copy."""
    pictures = list(pictures)
    count = Counter(picture.content for picture in pictures)
    return [p for p in pictures if (count[p.content] < 2 and p.content not in alike) or is_there(p.raw_path)]


def _distinct(found: Iterable[tuple[Ids, Matrix]]) -> dict[tuple[int, int], float]:
    """Pair → cosine, each pair once."""
    return {(a, b): score for ids, scores in found for (a, b), score in zip(ids.tolist(), scores.tolist(), strict=True)}


def _confirmed(
    pictures: dict[int, Picture], candidates: dict[tuple[int, int], float], threshold: float, cosine: Cosine
) -> tuple[Near, int]:
    """The candidates whose shapes and hashes agree, both ways; and how many pictures could not be read."""
    shaped = {pair: score for pair, score in candidates.items() if _same_shape(*(pictures[id] for id in pair))}
    ids = sorted({id for pair in shaped for id in pair})
    told = dict(zip(ids, hashes.hashes(pictures[id].raw_path for id in ids), strict=True)) if ids else {}
    known = {id: bits for id, bits in told.items() if bits is not None}
    near: dict[int, dict[int, tuple[float, int]]] = {id: {} for id in known}
    for (a, b), score in shaped.items():
        if a in known and b in known and (bits := _alike(known[a], known[b])) is not None:
            near[a][b] = near[b][a] = (min(1.0, score), bits)
    least = min(threshold, 2 * threshold**2 - 1)
    for a, b in _once_removed(near):
        score, bits = cosine(a, b), hashes.differing(known[a], known[b])
        if bits <= hashes.MOST_BITS_APART and score >= least and _same_shape(pictures[a], pictures[b]):
            near[a][b] = near[b][a] = (score, bits)
    alike: Near = {
        pictures[a].content: {pictures[b].content: told for b, told in others.items()} for a, others in near.items()
    }
    return alike, len(told) - len(known)


def _alike(a: hashes.Look, b: hashes.Look) -> int | None:
    """Bits that differ between two pictures that look alike; None for others."""
    bits = hashes.differing(a, b)
    return bits if bits <= hashes.MOST_BITS and hashes.same_colours(a, b) else None


def _once_removed(near: dict[int, dict[int, tuple[float, int]]]) -> set[tuple[int, int]]:
    """Pairs that are not near each other but near the same picture, as two changed copies of one may be.

    Two steps of an angle t make 2 t at most, and cos 2t = 2 cos(t)^2 - 1: they are compared with that.
    """
    between = (combinations(sorted(others), 2) for others in near.values())
    return {(a, b) for pairs_of_one in between for a, b in pairs_of_one if b not in near[a]}


def _same_shape(a: Picture, b: Picture) -> bool:
    """Whether width to height is about the same; unknown sizes (0) agree with any."""
    if not (a.width and a.height and b.width and b.height):
        return True
    ratio = a.width * b.height / (a.height * b.width)
    return 1 / MOST_STRETCHED <= ratio <= MOST_STRETCHED
