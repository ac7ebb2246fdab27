"""Exact inner products of queries with stored rows: what every approximate answer is scored and measured by.

Rows are fp16 and of unit length.  There are four ways to compare queries with a block of them, with the same answers:
numpy on the CPU; FAISS's fp16 scanner, for a few queries; torch on a GPU; and bfloat16 on a CPU that multiplies it in
hardware (AMX, AVX-512 BF16), where a rough product leaves few pairs to be scored exactly.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]
    Rows = NDArray[np.float16]
    Bitmap = NDArray[np.uint8]

_WIDEN_KEEP = np.int32(0x8FFFE000 - (1 << 32))
_WIDEN_SCALE = np.float32(2.0**112)
_WIDEN_STEP = 1 << 18
# More than k are asked for, so that one sees whether rows that tie with the k-th were left out.
SPARE = 8
# From so many multiplications on, the time that torch saves is worth the second or two that loading it takes.
WORTH_LOADING = 2e11
# FAISS loads in a tenth of a second, and saves as much once a process has compared so much by numpy.
WORTH_SCANNING = 1e8
# The heap of the scanner is made for few results.
MOST_SCANNED = 1000
# Rows of a block that is scanned: of fewer the calls take longer than the rows.
SCANNED_ROWS = 1 << 14
# Fewer queries are bound by reading the rows, and a rough product saves nothing.
ROUGH_FROM = 16
# More pairs than this share of all, and scoring everything exactly is quicker.
MOST_PAIRS = 1 / 64
# How far a product of unit vectors in bfloat16 may be from the exact one.  Rounding to 8 bits moves each factor by at
# most 2^-9 of itself, so the sum by 2 * 2^-9 (Cauchy-Schwarz); the result is rounded once more; the rest is for rows
# that are of unit length to 1e-3, and for sums in float32.
ERROR = 2**-8 + 2**-9 + 1e-4


def topk(
    xq: Matrix,
    blocks: Iterable[tuple[Ids, NDArray[np.float16]]],
    k: int,
    bitmap: Bitmap | None = None,
    device: str | None = None,
) -> tuple[Matrix, Ids]:
    """The k rows of highest inner product for each query.

    xq: (nq, dim) float32.  blocks: (ids (n,), rows (n, dim) fp16) of unit length, read one at a time, so memory stays
    flat.  bitmap: of the ids that count, bit i of byte i // 8, lowest first; None for all.  device: a torch device to
    multiply on; by default the best there is (see ``comparer``).
    Returns scores (nq, k) float32, highest first, ties by lower id; ids (nq, k) int64, -1 where there are fewer.
    Cost: one pass over the rows.
    """
    compare = comparer(xq, device)
    best = np.full((len(xq), 0), -np.inf, np.float32), np.full((len(xq), 0), -1, np.int64)
    for ids, rows in blocks:
        if bitmap is not None:
            counts = (bitmap[ids >> 3] >> (ids & 7).astype(np.uint8)) & 1 == 1
            if not counts.all():
                ids, rows = ids[counts], rows[counts]
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


@dataclass(frozen=True, slots=True)
class Pairs:
    """Some of the pairs of a query and a row: their numbers, ascending by query, then row, and exact scores, (n,)."""

    queries: Ids
    rows: Ids
    scores: Matrix


Compare = Callable[["Rows", "Matrix | None", int], Pairs]


_compared = 0.0


def prepare(multiplications: float) -> None:
    """Load torch if comparing is going to take so many multiplications that it pays, and FAISS once it would have."""
    global _compared
    if multiplications >= WORTH_LOADING:
        import torch  # noqa: F401
    _compared += multiplications
    if _compared >= WORTH_SCANNING:
        import faiss  # noqa: F401


def comparer(xq: Matrix, device: str | None = None) -> Compare:
    """How to compare queries (nq, dim) with blocks of rows.

    device: a torch device to multiply on; by default a GPU or the CPU's bfloat16 when torch is loaded and has them.
    Returns a function of rows (n, dim) fp16 of unit length, the least score of interest for each query, (nq,) or None
    where everything is, and k: all pairs that reach both that score and the k-th best of the block, and maybe others.
    """
    # Torch is not loaded for this (see ``prepare``): importing it takes longer than scanning a million rows.
    torch: Any = sys.modules.get("torch")
    if device is None and torch is not None and torch.cuda.is_available():
        device = "cuda"
    if device is not None:
        return _on_device(xq, device)
    if torch is not None and len(xq) >= ROUGH_FROM and has_fast_bfloat16():
        return roughly_first(xq)
    if _scans(len(xq)):
        return scanned(xq)
    return lambda rows, least, k: _reaching(xq @ widen(rows).T, least, k)


def rows_at_once(queries: int, usual: int) -> int:
    """How many rows a block should have for so many queries: ``usual``, or more where they are scanned."""
    return SCANNED_ROWS if _scans(queries) else usual


def _scans(queries: int) -> bool:
    return 0 < queries < ROUGH_FROM and "faiss" in sys.modules


@cache
def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware.  Loads torch."""
    import torch

    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _reaching(scores: Matrix, least: Matrix | None, k: int) -> Pairs:
    """The pairs of a block, of which all scores (nq, n) are known, that reach the k-th best and ``least``."""
    if least is None and scores.shape[1] > k:
        least = np.partition(scores, -k, axis=1)[:, -k]
    # What ties with the k-th stays, so that ties go to the lower id whatever the block size.
    at = np.nonzero(scores >= least[:, None]) if least is not None else np.nonzero(np.ones(scores.shape, bool))
    return Pairs(at[0], at[1], scores[at])


def scanned(xq: Matrix) -> Compare:
    """Compare by FAISS's scanner: the rows are read once for each query, at the speed of memory.  Queries (nq, dim)."""
    scanner = Scanner(xq)

    def compare(rows: Rows, least: Matrix | None, k: int) -> Pairs:
        bounds = np.full(len(xq), -np.inf, np.float32) if least is None else least
        if k <= MOST_SCANNED:
            found = [scanner.best(rows, query, k, float(bound)) for query, bound in enumerate(bounds)]
            whole = [one for one in found if one is not None]
            if len(whole) == len(found):
                queries = np.repeat(np.arange(len(xq)), [len(at) for at, _ in whole])
                return Pairs(queries, *(np.concatenate(part) for part in zip(*whole, strict=True)))
        return _reaching(xq @ widen(rows).T, least, k)

    return compare


def _on_device(xq: Matrix, device: str) -> Compare:
    import torch

    queries = torch.from_numpy(xq).to(device)

    def compare(rows: Rows, least: Matrix | None, k: int) -> Pairs:
        # A copy, since torch refuses memory that cannot be written to, and half as long on its way as float32.
        block = torch.from_numpy(np.array(rows)).to(device, non_blocking=True)
        return _reaching((queries @ block.float().T).cpu().numpy(), least, k)

    return compare


def roughly_first(xq: Matrix) -> Compare:
    """Compare in bfloat16, then score exactly what is within the rounding error of the k best.  Queries (nq, dim)."""
    import torch

    lengths = np.sqrt(np.einsum("ij,ij->i", xq, xq))
    error = ERROR * lengths
    queries = torch.from_numpy(xq)
    short = queries.bfloat16()

    def compare(rows: Rows, least: Matrix | None, k: int) -> Pairs:
        wide = torch.from_numpy(widen(rows))
        rough = short @ wide.bfloat16().T
        if least is None:
            kth = rough.float().topk(min(k, len(rows)), dim=1).values[:, -1].numpy()
            least = kth - error
        bound = torch.from_numpy((least - error).astype(np.float32)).bfloat16()
        # Rounding the bound may move it up by half a unit, so it is taken one unit lower.
        bound = torch.nextafter(bound, torch.tensor(-np.inf, dtype=torch.bfloat16))
        near = np.flatnonzero((rough >= bound[:, None]).numpy())
        if len(near) > MOST_PAIRS * rough.numel():
            return _reaching((queries @ wide.T).numpy(), None if k >= len(rows) else least, k)
        at, row = np.divmod(near, len(rows))
        return Pairs(at, row, np.einsum("ij,ij->i", xq[at], wide.numpy()[row]))

    return compare


class Scanner:
    """Exact inner products of queries (nq, dim) float32 with blocks of rows.  For one thread."""

    def __init__(self, xq: NDArray[np.float32]) -> None:
        import faiss

        self._swig_ptr = faiss.swig_ptr
        self._kind = faiss.ScalarQuantizer(xq.shape[1], faiss.ScalarQuantizer.QT_fp16)
        self._queries = np.ascontiguousarray(xq, np.float32)
        self._scanner = self._kind.select_InvertedListScanner(faiss.METRIC_INNER_PRODUCT, None, False, None, False)
        self._numbers = np.zeros(0, np.int64)

    def best(
        self, rows: NDArray[np.float16], query: int, k: int, least: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
        """The rows (n, dim) that score at least ``least``, all of them or the k best and those that tie with the k-th.

        Returns their numbers, ascending, and scores; None where so many tie that some may be missing.
        """
        if len(self._numbers) < len(rows):
            self._numbers = np.arange(len(rows))
        asked = min(k + SPARE, len(rows))
        # The heap takes what is better than its worst, so it begins just below what is wanted.
        scores = np.full(asked, np.nextafter(np.float32(least), np.float32(-np.inf)), np.float32)
        found = np.full(asked, -1, np.int64)
        codes = np.ascontiguousarray(rows).view(np.uint8).reshape(-1)
        pointers = [self._swig_ptr(array) for array in (codes, self._numbers, scores, found)]
        self._scanner.set_query(self._swig_ptr(self._queries[query]))
        self._scanner.set_list(0, 0.0)
        self._scanner.scan_codes(len(rows), *pointers, asked)
        if asked < len(rows) and found.min() >= 0 and np.partition(scores, -k)[-k] <= scores.min():
            return None
        there = np.flatnonzero(found >= 0)
        there = there[np.argsort(found[there])]
        return found[there], scores[there]


def widen(rows: NDArray[np.float16]) -> NDArray[np.float32]:
    """Finite float16 numbers as float32, exactly as ``astype``, two to three times as fast.

    The bits of a half, moved to where float32 has its sign, exponent and fraction, are the number times 2^-112.
    """
    out = np.empty(rows.shape, np.float32)
    flat, bits = out.reshape(-1), np.ascontiguousarray(rows).view(np.int16).reshape(-1)
    # Piece by piece, so that the passes after the first find their numbers in the cache.
    for at in range(0, len(flat), _WIDEN_STEP):
        piece = flat[at : at + _WIDEN_STEP]
        whole = piece.view(np.int32)
        np.copyto(whole, bits[at : at + _WIDEN_STEP])
        np.left_shift(whole, 13, out=whole)
        np.bitwise_and(whole, _WIDEN_KEEP, out=whole)
        np.multiply(piece, _WIDEN_SCALE, out=piece)
    return out
