"""Queries against a block of rows: which pairs may be among the k best, by exact score.

Four ways with the same answers: numpy on the CPU; FAISS's scanner, for a few queries; torch on a GPU; and bfloat16 on
a CPU that multiplies it in hardware (AMX, AVX-512 BF16), where a rough product leaves few pairs to be scored exactly.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch.half import widen
from vsearch.scan import Scanner

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]
    Rows = NDArray[np.float16]

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
