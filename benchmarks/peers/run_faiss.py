"""FAISS by hand: the very index that vsearch built, searched with bare FAISS calls and scored again in numpy.

options: ``file``, the index; ``default``, whether FAISS keeps its own settings, under which a batch of fewer than 250
queries of 512 dimensions does not use BLAS.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from serve import Settings, images, serve
from sweeps import grid


class ByHand:
    """The index, and fp16 vectors in a memory-mapped file."""

    def build(self, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
        """See ``Peer``; nothing is trained here."""
        faiss.omp_set_num_threads(1)
        if not options.get("default"):
            faiss.cvar.distance_compute_blas_threshold = 2000
        self._index = faiss.read_index(options["file"])
        self._lists = faiss.extract_index_ivf(self._index)
        self._queries = _query_map(self._index)
        halves = folder / "images16.npy"
        if not halves.is_file():
            np.save(halves, images(folder).astype(np.float16))
        self._rows = np.load(halves, mmap_mode="r")
        return {"what": "the index that vsearch built", "build_seconds": 0.0}

    def bytes(self) -> int:
        """See ``Peer``."""
        return int(len(faiss.serialize_index(self._index)))

    def sweep(self, modality: str) -> list[Settings]:
        """See ``Peer``."""
        return grid(modality)

    def search(self, xq: NDArray[np.float32], k: int, settings: Settings) -> NDArray[np.integer]:
        """See ``Peer``."""
        asked = xq if self._queries is None else xq @ self._queries.T
        parameters = faiss.SearchParametersIVF(nprobe=settings["nprobe"])
        candidates = self._lists.search(asked, k * settings["rescore"], params=parameters)[1]
        found = np.full((len(xq), k), -1, np.int64)
        for row, query in enumerate(xq):
            ids = candidates[row]
            ids = np.sort(ids[ids >= 0])
            scores = self._rows[ids].astype(np.float32) @ query
            best = ids[np.argsort(-scores, kind="stable")[:k]]
            found[row, : len(best)] = best
        return found


def _query_map(index: Any) -> NDArray[np.float32] | None:
    """The inverse of the transposed product of the linear maps before the lists, if there are any."""
    if not isinstance(index, faiss.IndexPreTransform):
        return None
    total = np.eye(index.d)
    for at in range(index.chain.size()):
        linear = faiss.downcast_VectorTransform(index.chain.at(at))
        total = faiss.vector_to_array(linear.A).reshape(linear.d_out, linear.d_in).astype(np.float64) @ total
    told: NDArray[np.float32] = np.linalg.inv(total).T.astype(np.float32)
    return told


if __name__ == "__main__":
    serve(ByHand())
