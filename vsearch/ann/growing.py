"""An index while it is made: cells, map, code books, then vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch.ann import parts, transform
from vsearch.ann.cells import ROUNDS, SMALL, Cells
from vsearch.ann.library import faiss, reason, threads
from vsearch.ann.opened import AnnIndex
from vsearch.errors import RecipeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

# Moments and code books are known well enough from so many vectors.
CODE_ROWS = 32_768


class Growing:
    """A trained index that takes vectors.  cells: None for kinds without inverted lists."""

    def __init__(self, core: Any, matrix: Matrix | None, cells: Cells | None) -> None:
        self._fast = cells is not None and parts.needs_growing(core)
        self._core = parts.growing(core) if self._fast else core
        self._matrix = matrix
        self._onto: AnnIndex | None = None
        self.cells = cells

    @classmethod
    def onto(cls, index: AnnIndex) -> Growing:
        """Let an index that was loaded for change take more vectors.  It is taken over."""
        grown = cls(index.core, index.matrix, index.cells())
        grown._onto = index
        return grown

    def train_codes(self, rows: Matrix, where: Ids, seed: int) -> None:
        """Train the codes on what they are to hold: rows (n, dim) that belong to the cells ``where`` (n,)."""
        library = faiss()
        if hasattr(self._core, "pq"):
            # FAISS writes advice about sample sizes to stderr; the plan has settled those.
            self._core.pq.cp.min_points_per_centroid, self._core.pq.cp.seed = 1, seed
            self._core.pq.cp.niter = ROUNDS
        with threads(1 if len(rows) < SMALL else None):
            self._core.train_encoder(len(rows), library.swig_ptr(rows), library.swig_ptr(where))
        self._core.is_trained = True

    def add(self, ids: Ids, rows: Matrix) -> float:
        """Add vectors (n, dim) under ids (n,); return the sum of their squared distances from their centroids."""
        library = faiss()
        if not len(ids):
            return 0.0
        ids, rows = np.ascontiguousarray(ids), np.ascontiguousarray(rows)
        if self.cells is None:
            self._core.add_with_ids(rows, ids)
            return 0.0
        where, distances = self.cells.of(rows)
        mapped = rows if self._matrix is None else np.ascontiguousarray(rows @ self._matrix.T)
        where = np.ascontiguousarray(where)
        pointers = (library.swig_ptr(array) for array in (mapped, ids, where))
        self._core.add_core(len(ids), *pointers)
        self._core.ntotal = self._core.invlists.compute_ntotal()
        return float(distances.sum())

    def finished(self, upto: int) -> AnnIndex:
        """The index as it is searched.  This object must not be used afterwards."""
        core = parts.scanning(self._core) if self._fast else self._core
        if self._onto is not None:
            if self._fast:
                self._onto.core.merge_from(core, 0)
            self._onto.index.ntotal = self._onto.core.ntotal
            return AnnIndex.of(self._onto.index, upto)
        return AnnIndex.of(parts.in_front(self._matrix, core), upto)


def trained(
    factory: str, sample: Matrix, cells: Cells | None, seed: int, queries: NDArray[np.float64] | None
) -> Growing:
    """Train codes on a sample (n, dim), cells given.

    queries: second moment (dim, dim) of the queries to make the transform for; None for no transform.
    Raises RecipeError.
    """
    made = parts.construct(factory, sample.shape[1])
    try:
        if cells is None or not made.lists:
            made.core.train(np.ascontiguousarray(sample))
            return Growing(made.core, None, None)
        return _trained_lists(made, sample, cells, seed, queries)
    except RuntimeError as error:
        raise RecipeError(f"FAISS cannot train {factory!r} on {len(sample)} vectors: {reason(error)}") from error


def _trained_lists(
    made: parts.Parts, sample: Matrix, cells: Cells, seed: int, queries: NDArray[np.float64] | None
) -> Growing:
    sample = sample[:CODE_ROWS]
    where = np.ascontiguousarray(cells.of(sample)[0])
    residuals = sample - cells.centroids[where]
    matrix = _map(made, residuals, seed, queries)
    coded, centroids = residuals if made.core.by_residual else sample, cells.centroids
    if matrix is not None:
        coded, centroids = coded @ matrix.T, centroids @ matrix.T
    made.core.quantizer.add(np.ascontiguousarray(centroids))
    grown = Growing(made.core, matrix, cells)
    grown.train_codes(np.ascontiguousarray(coded), where, seed)
    return grown


def _map(made: parts.Parts, residuals: Matrix, seed: int, queries: NDArray[np.float64] | None) -> Matrix | None:
    moment = transform.second_moment(residuals)
    matrix = None if queries is None else transform.query_aware(moment, queries)
    if made.rotation == "none":
        return matrix
    if matrix is not None:
        moment = matrix @ moment @ matrix.T
    if made.rotation == "random":
        rotation = transform.random_rotation(len(moment), seed)
    else:
        rotation = transform.balanced_rotation(moment, made.pieces)
    return rotation if matrix is None else rotation @ matrix
