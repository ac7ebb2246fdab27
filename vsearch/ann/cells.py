"""Cells: the centroids of inverted lists, trained and filled by L2 distance in the space of the vectors themselves.

They are visited by inner product, which is what is searched for: packed by distance, asked by inner product, 95 % of
the best for text takes a quarter fewer comparisons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch.ann.library import faiss, threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

ROUNDS = 10
# Below this many vectors the threads of FAISS spend more time waiting for each other than training: on a busy
# machine 400 vectors took 3 s with two threads and 0.04 s with one.
SMALL = 50_000


def train(sample: Matrix, count: int, seed: int) -> Matrix:
    """``count`` centroids (count, dim) of a sample (n, dim), n >= count, by k-means; on a GPU where there is one."""
    library = faiss()
    # FAISS writes advice about sample sizes to stderr unless told that any will do.
    kmeans = library.Clustering(sample.shape[1], count)
    kmeans.niter, kmeans.seed, kmeans.min_points_per_centroid = ROUNDS, seed, 1
    kmeans.max_points_per_centroid = len(sample)
    with threads(1 if len(sample) < SMALL else None):
        kmeans.train(np.ascontiguousarray(sample), _by_distance(sample.shape[1]))
    told: Matrix = library.vector_to_array(kmeans.centroids).reshape(count, -1)
    return told


class Cells:
    """Which cell a vector belongs to."""

    def __init__(self, centroids: Matrix) -> None:
        self.centroids = centroids
        self._index = _by_distance(centroids.shape[1])
        self._index.add(np.ascontiguousarray(centroids))

    def of(self, rows: Matrix) -> tuple[Ids, Matrix]:
        """The cell of each row, (n,) int64, and its squared distance from the centroid, (n,) float32."""
        distances, cells = self._index.search(np.ascontiguousarray(rows), 1)
        return cells[:, 0], distances[:, 0]


def _by_distance(dim: int) -> Any:
    library = faiss()
    flat = library.IndexFlatL2(dim)
    return library.index_cpu_to_all_gpus(flat) if library.get_num_gpus() else flat
