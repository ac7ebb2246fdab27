"""Exact search by bare FAISS with its default settings: all vectors in memory, fp32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from serve import Settings, images, serve


class Flat:
    """The index."""

    def build(self, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
        """See ``Peer``."""
        faiss.omp_set_num_threads(1)
        rows = images(folder)
        self._index = faiss.IndexFlatIP(rows.shape[1])
        self._index.add(np.asarray(rows))
        return {"what": "all compared, fp32 in memory"}

    def bytes(self) -> int:
        """See ``Peer``."""
        return int(self._index.ntotal * self._index.d * 4)

    def sweep(self, modality: str) -> list[Settings]:
        """See ``Peer``: there is nothing to set."""
        return [{"own": modality}]

    def search(self, xq: NDArray[np.float32], k: int, settings: Settings) -> NDArray[np.integer]:
        """See ``Peer``."""
        found: NDArray[np.integer] = self._index.search(xq, k)[1]
        return found


if __name__ == "__main__":
    serve(Flat())
