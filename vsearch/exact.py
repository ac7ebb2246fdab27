"""Exact search over stored rows: the truth that every approximate answer is measured against."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from vsearch.compare import Pairs, comparer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]


def topk(
    xq: Matrix,
    blocks: Iterable[tuple[Ids, NDArray[np.float16]]],
    k: int,
    live: Callable[[Ids], NDArray[np.bool_]],
    device: str | None = None,
) -> tuple[Matrix, Ids]:
    """The k live rows of highest inner product for each query.

    xq: (nq, dim) float32.  blocks: (ids (n,), rows (n, dim) fp16), read one at a time, so memory stays flat.
    rows are of unit length.  device: a torch device to multiply on; by default the best there is (see ``comparer``).
    Returns scores (nq, k) float32, highest first, ties by lower id; ids (nq, k) int64, -1 where there are fewer.
    Cost: one pass over the rows.
    """
    compare = comparer(xq, device)
    best = np.full((len(xq), 0), -np.inf, np.float32), np.full((len(xq), 0), -1, np.int64)
    for ids, rows in blocks:
        shown = live(ids)
        if not shown.all():
            ids, rows = ids[shown], rows[shown]
        if len(ids):
            least = best[0][:, k - 1] if best[0].shape[1] >= k else None
            pairs = compare(rows, least, k)
            if len(pairs.scores):
                best = merge(best, _table(pairs, ids, len(xq)), k)
    return _pad(*best, k)


def rescore(xq: Matrix, candidates: Ids, k: int, vectors: Callable[[Ids], Matrix]) -> tuple[Matrix, Ids]:
    """The k best of each query's candidates by exact score.

    candidates: (nq, n) ids, -1 for none.  vectors: the stored rows (n, dim) of ids in ascending order.
    Returns scores (nq, k) float32 and ids (nq, k) int64 as ``topk`` does.
    """
    scores = np.full((len(xq), k), -np.inf, np.float32)
    found = np.full((len(xq), k), -1, np.int64)
    # Query by query: the rows of one fit the cache, and rows in the order of ids are read forwards from a disk.
    for row, query in enumerate(xq):
        ids = np.sort(candidates[row])
        ids = ids[np.searchsorted(ids, 0) :]
        if len(ids):
            exact = vectors(ids) @ query
            # Ids ascend, so a stable order leaves ties to the lower id.
            best = (-exact).argsort(kind="stable")[:k]
            scores[row, : len(best)], found[row, : len(best)] = exact[best], ids[best]
    return scores, found


def _table(pairs: Pairs, ids: Ids, nq: int) -> tuple[Matrix, Ids]:
    """Pairs as one row of scores and ids for each query, filled up with -inf and -1."""
    counts = np.bincount(pairs.queries, minlength=nq)
    at = np.arange(len(pairs.queries)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (nq, int(counts.max(initial=0)))
    scores, named = np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int64)
    scores[pairs.queries, at], named[pairs.queries, at] = pairs.scores, ids[pairs.rows]
    return scores, named


def merge(a: tuple[Matrix, Ids], b: tuple[Matrix, Ids], k: int) -> tuple[Matrix, Ids]:
    """The k best of two lists of candidates for each query, ordered by score, then id."""
    scores = np.concatenate([a[0], b[0]], axis=1)
    ids = np.concatenate([a[1], b[1]], axis=1)
    order = np.lexsort((ids, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)


def _pad(scores: Matrix, ids: Ids, k: int) -> tuple[Matrix, Ids]:
    nq, there = scores.shape
    if there == k:
        return scores, ids
    padded = np.full((nq, k), -np.inf, np.float32), np.full((nq, k), -1, np.int64)
    padded[0][:, :there], padded[1][:, :there] = scores, ids
    return padded
