"""autofaiss: the index that it chooses for the vectors and the memory that it is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
from autofaiss import build_index
from numpy.typing import NDArray
from serve import Settings, images, serve


class Chosen:
    """The index.  options: ``bytes``, the memory that it may take."""

    def build(self, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
        """See ``Peer``."""
        faiss.omp_set_num_threads(1)
        self._index, told = build_index(
            np.asarray(images(folder)),
            save_on_disk=False,
            metric_type="ip",
            nb_cores=1,
            max_index_memory_usage=f"{options['bytes'] / 1e6:.3f}MB",
            current_memory_available="16G",
            verbose=40,
        )
        self._own = str(told["index_param"]) if "index_param" in told else ""
        return {"what": str(told.get("index_key", "")), "own_settings": self._own}

    def bytes(self) -> int:
        """See ``Peer``."""
        return int(len(faiss.serialize_index(self._index)))

    def sweep(self, modality: str) -> list[Settings]:
        """See ``Peer``."""
        own = [{"own": modality, "parameters": self._own}] if self._own else []
        if faiss.try_extract_index_ivf(self._index) is None:
            return own + [{"parameters": f"efSearch={ef}"} for ef in (16, 32, 64, 128, 256, 512)]
        return own + [{"parameters": self._lists(nprobe)} for nprobe in (4, 8, 16, 32, 64, 128, 256)]

    def _lists(self, nprobe: int) -> str:
        quantiser = faiss.downcast_index(faiss.extract_index_ivf(self._index).quantizer)
        graph = f",quantizer_efSearch={max(16, 2 * nprobe)}" if isinstance(quantiser, faiss.IndexHNSW) else ""
        return f"nprobe={nprobe}{graph}"

    def search(self, xq: NDArray[np.float32], k: int, settings: Settings) -> NDArray[np.integer]:
        """See ``Peer``."""
        if settings["parameters"] != getattr(self, "_set", None):
            self._set = settings["parameters"]
            faiss.ParameterSpace().set_index_parameters(self._index, self._set)
        found: NDArray[np.integer] = self._index.search(xq, k)[1]
        return found


if __name__ == "__main__":
    serve(Chosen())
