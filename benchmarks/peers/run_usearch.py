"""USearch: a graph over fp16 vectors in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from serve import Settings, images, serve
from usearch.index import Index


class Graph:
    """The index."""

    def build(self, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
        """See ``Peer``."""
        rows = images(folder)
        self._index = Index(ndim=rows.shape[1], metric="ip", dtype="f16", connectivity=32, expansion_add=128)
        for first in range(0, len(rows), 10_000):
            part = np.ascontiguousarray(rows[first : first + 10_000])
            self._index.add(np.arange(first, first + len(part)), part, threads=1)
        return {"what": "f16, connectivity 32, expansion_add 128"}

    def bytes(self) -> int:
        """See ``Peer``."""
        return int(self._index.serialized_length)

    def sweep(self, modality: str) -> list[Settings]:
        """See ``Peer``."""
        return [{"expansion": ef} for ef in (10, 16, 24, 32, 48, 64, 96, 128, 256, 512)]

    def search(self, xq: NDArray[np.float32], k: int, settings: Settings) -> NDArray[np.integer]:
        """See ``Peer``."""
        self._index.expansion_search = settings["expansion"]
        found = self._index.search(xq, k, threads=1).keys
        return np.asarray(found).astype(np.int64).reshape(len(xq), -1)


if __name__ == "__main__":
    serve(Graph())
