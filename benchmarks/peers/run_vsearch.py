"""vsearch: vectors imported into an index of its own, built by a recipe, asked through ``Index.search_vectors``."""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from serve import Settings, images, serve
from sweeps import LISTS, grid

import vsearch
from vsearch import ann, recipe
from vsearch.ann import Searchable
from vsearch.search import nearest
from vsearch.store.maintain import INDEX_FILE


class Engine:
    """The index.  options: ``index``, where to make it; ``recipe``, None for exact search."""

    def build(self, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
        """See ``Peer``; storing the vectors is told apart from building."""
        rows, place = images(folder), Path(options["index"])
        shutil.rmtree(place, ignore_errors=True)
        self._index = vsearch.create(place, encoder=f"external:gapped:{rows.shape[1]}")
        started = time.process_time()
        ids = self._index.add_vectors([f"gapped/{row}" for row in range(len(rows))], rows)
        assert (ids == np.arange(len(rows))).all()
        stored = time.process_time()
        if options["recipe"] is None:
            self._recipe, self._bytes = None, 0
            return {"what": "all compared, fp16 on disk", "store_seconds": stored - started, "build_seconds": 0.0}
        report = self._index.build(options["recipe"], text_queries=np.load(folder / "text_sample.npy"))
        built = time.process_time()
        with self._index.store.snapshot() as snapshot:
            named = snapshot.space.generation
            file = self._index.store.layout.ann(snapshot.space.name) / named.name / INDEX_FILE
        self._ann = ann.load(file, named.upto, named.name)
        self._recipe = recipe.from_plan(named.recipe)
        self._bytes = named.length
        return {
            "what": str(report.get("factory", "")),
            "file": str(file),
            "store_seconds": stored - started,
            "build_seconds": built - stored,
            "report": report,
            "own_settings": {name: dataclasses.asdict(self._recipe.search(name)) for name in ("text", "image")},
        }

    def bytes(self) -> int:
        """See ``Peer``: what lies in memory; the vectors stay on disk, memory-mapped, two bytes a number."""
        return self._bytes

    def sweep(self, modality: str) -> list[Settings]:
        """See ``Peer``: the settings that were tuned at the build, and the grid."""
        return [{"own": modality}, *(grid(modality) if self._recipe else [])]

    def nearest(self, xq: NDArray[np.float32], k: int, settings: Settings) -> NDArray[np.integer]:
        """See ``Peer``."""
        if "own" in settings:
            return self._index.search_vectors(xq, k, modality=settings["own"])[1]
        told = recipe.SearchSettings(**{name: settings[name] for name in LISTS})
        asked = dataclasses.replace(self._recipe, text=told, image=told)
        with self._index.store.snapshot() as snapshot:
            return nearest(snapshot, xq, k, "text", Searchable(self._ann, asked))[1]


if __name__ == "__main__":
    serve(Engine())
