"""Few queries against half-precision rows, read once and never widened in memory: FAISS's fp16 scanner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# More than k are asked for, so that one sees whether rows that tie with the k-th were left out.
SPARE = 8


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
