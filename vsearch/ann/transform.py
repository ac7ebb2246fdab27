"""The query-aware transform: a change of coordinates that keeps every ranking and moves the error of the codes.

Store ``M x``, ask with ``M^-T q``: every inner product stays what it is.  The score error of a code grows with the
energy of what is coded times that of the queries as the code sees them, ``tr(A S A') tr(A^-T Sq A^-1)``, with S the
second moment of the coded residuals and Sq that of the queries.  By Cauchy-Schwarz it is least where
``A'A = S^-1/2 (S^1/2 Sq S^1/2)^1/2 S^-1/2``, the geometric mean of S^-1 and Sq.  A rotation in front of the code
follows: ``M = R A``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]
    Wide = NDArray[np.float64]

# Directions with less than this share of the mean energy count as if they had it: a sample says little about them,
# and a map that stretches them without bound would lose the precision of float32.
RIDGE = 0.01
SCALE = 0.2


def second_moment(rows: Matrix) -> Wide:
    """The mean of ``row row'`` over (n, dim) rows: (dim, dim)."""
    told: Wide = (rows.T @ rows).astype(np.float64) / max(1, len(rows))
    return told


def query_aware(residuals: Wide, queries: Wide) -> Matrix:
    """The matrix A for second moments of residuals and queries, both (dim, dim): (dim, dim), symmetric, invertible."""
    data, asked = _ridged(residuals), _ridged(queries)
    root, inverse = _power(data, 0.5), _power(data, -0.5)
    matrix = _power(inverse @ _power(root @ asked @ root, 0.5) @ inverse, 0.5)
    # The scale is free for product codes. RaBitQ compares what lies between query and centroid, and its error grows
    # with the length of that: small residuals against large queries leave only the query in it.
    matrix *= SCALE * np.sqrt(np.trace(data) / np.trace(matrix @ data @ matrix.T))
    told: Matrix = matrix.astype(np.float32)
    return told


def random_rotation(dim: int, seed: int) -> Matrix:
    """A rotation (dim, dim) that spreads every direction over all coordinates."""
    square = np.random.default_rng(seed).standard_normal((dim, dim))
    told: Matrix = np.linalg.qr(square)[0].astype(np.float32)
    return told


def balanced_rotation(residuals: Wide, parts: int) -> Matrix:
    """The rotation (dim, dim) under which product codes of ``parts`` parts lose least of Gaussian residuals.

    Principal directions, dealt out so that every part gets the same product of variances: the parametric solution of
    Ge et al., Optimized Product Quantization (CVPR 2013), section 3.2.
    """
    dim = len(residuals)
    values, vectors = np.linalg.eigh(_ridged(residuals))
    logs = np.log(values)
    members: list[list[int]] = [[] for _ in range(parts)]
    products = np.zeros(parts)
    for direction in range(dim - 1, -1, -1):
        products[[len(m) >= dim // parts for m in members]] = np.inf
        part = int(np.argmin(products))
        members[part].append(direction)
        products[part] += logs[direction] - logs[0]
    told: Matrix = np.ascontiguousarray(vectors[:, [d for m in members for d in m]].T.astype(np.float32))
    return told


def query_map(matrix: Matrix) -> Matrix:
    """The matrix for queries that belongs to one for the data: ``matrix^-T``, (dim, dim)."""
    told: Matrix = np.linalg.inv(matrix.astype(np.float64)).T.astype(np.float32)
    return told


def _ridged(moment: Wide) -> Wide:
    told: Wide = moment + np.eye(len(moment)) * (RIDGE * np.trace(moment) / len(moment) + 1e-12)
    return told


def _power(symmetric: Wide, exponent: float) -> Wide:
    values, vectors = np.linalg.eigh((symmetric + symmetric.T) / 2)
    told: Wide = (vectors * np.maximum(values, 1e-15) ** exponent) @ vectors.T
    return told
