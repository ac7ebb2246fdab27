"""ScaNN: inverted lists of anisotropic 4-bit codes, scored again from fp32 vectors in memory."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import scann
from numpy.typing import NDArray
from serve import Settings, images, serve


class Tree:
    """The index.  options: ``soar``, whether each vector is kept in a second list too."""

    def build(self, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
        """See ``Peer``."""
        rows = np.asarray(images(folder))
        self._leaves = 2 ** round(math.log2(2.3 * math.sqrt(len(rows))))
        soar = {"soar_lambda": 1.5, "overretrieve_factor": 2.0} if options.get("soar") else {}
        builder = scann.scann_ops_pybind.builder(rows, 10, "dot_product").set_n_training_threads(1)
        tree = builder.tree(self._leaves, 10, training_sample_size=min(len(rows), 64 * self._leaves), **soar)
        self._index = tree.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(100).build()
        return {"what": f"{self._leaves} leaves, AH 2, reorder{', SOAR 1.5' if soar else ''}"}

    def bytes(self) -> int:
        """See ``Peer``."""
        with tempfile.TemporaryDirectory() as name:
            self._index.serialize(name)
            return sum(path.stat().st_size for path in Path(name).iterdir())

    def sweep(self, modality: str) -> list[Settings]:
        """See ``Peer``."""
        pairs = {
            "image": [
                (4, 30),
                (6, 30),
                (8, 30),
                (8, 60),
                (12, 60),
                (16, 60),
                (16, 120),
                (24, 100),
                (32, 150),
                (64, 200),
            ],
            "text": [
                (16, 100),
                (24, 150),
                (32, 150),
                (32, 300),
                (48, 200),
                (48, 400),
                (64, 300),
                (96, 400),
                (128, 600),
            ],
        }
        return [{"leaves": min(leaves, self._leaves), "reorder": reorder} for leaves, reorder in pairs[modality]]

    def search(self, xq: NDArray[np.float32], k: int, settings: Settings) -> NDArray[np.integer]:
        """See ``Peer``."""
        told = {"leaves_to_search": settings["leaves"], "pre_reorder_num_neighbors": settings["reorder"]}
        if len(xq) == 1:
            return self._index.search(xq[0], final_num_neighbors=k, **told)[0][None]
        found: NDArray[np.integer] = self._index.search_batched(xq, final_num_neighbors=k, **told)[0]
        return found


if __name__ == "__main__":
    serve(Tree())
