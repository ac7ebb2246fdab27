"""hnswlib: a graph over fp32 vectors in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
from numpy.typing import NDArray
from serve import Settings, images, serve


class Graph:
    """The index."""

    def build(self, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
        """See ``Peer``."""
        rows = images(folder)
        self._index = hnswlib.Index(space="ip", dim=rows.shape[1])
        self._index.init_index(max_elements=len(rows), ef_construction=200, M=32, random_seed=1)
        self._index.set_num_threads(1)
        for first in range(0, len(rows), 10_000):
            part = rows[first : first + 10_000]
            self._index.add_items(part, np.arange(first, first + len(part)), num_threads=1)
        return {"what": "M 32, efConstruction 200"}

    def bytes(self) -> int:
        """See ``Peer``."""
        return int(self._index.index_file_size())

    def sweep(self, modality: str) -> list[Settings]:
        """See ``Peer``."""
        return [{"ef": ef} for ef in (10, 16, 24, 32, 48, 64, 96, 128, 256, 512)]

    def search(self, xq: NDArray[np.float32], k: int, settings: Settings) -> NDArray[np.integer]:
        """See ``Peer``."""
        self._index.set_ef(settings["ef"])
        found: NDArray[np.integer] = self._index.knn_query(xq, k, num_threads=1)[0]
        return found


if __name__ == "__main__":
    serve(Graph())
