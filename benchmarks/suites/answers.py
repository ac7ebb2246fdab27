"""What a whole answer costs beside bare FAISS: the search alone, its hits, their metadata read; and exact search.

200,000 vectors of `gapped.py` (20,000 in the short form) with captions, built as `opq-ivf-pq`.  faiss: the same index
file and settings with bare FAISS calls, candidates scored again in numpy, which gives ids.  ids: `search_vectors`.
hits: `search`, whose hits have not been looked at.  read: the same, path and caption of every hit taken.  Milliseconds
of one query, the median of 400, one thread; the ways take turns of all queries, three each after one that is not
counted, since a row is compared with its checksum when it is first read.  exact: an index without ANN, which keeps its
vectors as fp16 on disk, beside FAISS's flat one with fp32 in memory; milliseconds of a batch, in turns as well.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import faiss
import numpy as np
from gapped import Gapped
from numpy.typing import NDArray
from tables import table

import vsearch
from vsearch.index import Index
from vsearch.recipe import from_plan
from vsearch.store.maintain import INDEX_FILE

Matrix = NDArray[np.float32]
QUERIES, TURNS = 400, 3
BATCHES = (1, 10, 100)
SHOWN = ("faiss", "ids", "hits", "read")


def run(quick: bool, size: int | None = None) -> dict[str, Any]:
    """Measure.  size: how many vectors."""
    faiss.omp_set_num_threads(1)
    space, count = Gapped(0), size or (20_000 if quick else 200_000)
    rows = space.images(count)
    queries = {"text": space.text_queries(QUERIES), "image": space.image_queries(QUERIES)}
    with tempfile.TemporaryDirectory(prefix="answers-") as name:
        with vsearch.create(Path(name) / "x.vsearch", encoder=f"external:gapped:{rows.shape[1]}") as index:
            uris = [f"gapped/{row}" for row in range(count)]
            index.add_vectors(uris, rows, {"caption": [f"The picture of number {row}." for row in range(count)]})
            exact = _exact(index, rows, queries["text"])
            index.build("opq-ivf-pq", text_queries=space.text_sample(2000))
            bare, settings = _bare(index, Path(name), rows)
            asked = {
                f"{modality}, k = {k}": _asked(index, bare, xq, k, modality, settings[modality])
                for k in (10, 100)
                for modality, xq in queries.items()
            }
    return {"vectors": count, "dimensions": rows.shape[1], "one query": asked, "exact": exact}


def _bare(index: Index, folder: Path, rows: Matrix) -> tuple[Any, dict[str, Any]]:
    """The built file in the hands of FAISS, and the settings that the build chose."""
    sys.path.append(str(Path(__file__).parent.parent / "peers"))
    from run_faiss import ByHand

    with index.store.snapshot() as snapshot:
        named = snapshot.space.generation
        file = index.store.layout.ann(snapshot.space.name) / named.name / INDEX_FILE
    np.save(folder / "images.npy", rows)
    bare = ByHand()
    bare.build(folder, {"file": str(file)})
    recipe = from_plan(named.recipe)
    return bare, {name: dataclasses.asdict(recipe.search(name)) for name in ("text", "image")}


def _asked(index: Index, bare: Any, xq: Matrix, k: int, modality: Any, settings: Any) -> dict[str, float]:
    ways: dict[str, Callable[[Matrix], Any]] = {
        "faiss": lambda x: bare.search(x[None], k, settings),
        "ids": lambda x: index.search_vectors(x[None], k, modality=modality),
        "hits": lambda x: index.search(x, k, modality=modality),
        "read": lambda x: [(hit.path, hit.caption) for hit in index.search(x, k, modality=modality)],
    }
    found = [
        set(bare.search(x[None], k, settings)[0]) & {hit.id for hit in index.search(x, k, modality=modality)}
        for x in xq[:20]
    ]
    seconds = _in_turn(ways, list(xq))
    told = {f"{name} ms": 1e3 * seconds[name] for name in SHOWN}
    ratios = {f"{name} / faiss": seconds[name] / seconds["faiss"] for name in SHOWN[1:]}
    return told | ratios | {"found by both": float(np.mean([len(ids) / k for ids in found]))}


def _exact(index: Index, rows: Matrix, xq: Matrix) -> dict[str, dict[str, float]]:
    flat = faiss.IndexFlatIP(rows.shape[1])
    flat.add(rows)
    told = {}
    for batch in BATCHES:
        ways: dict[str, Callable[[Matrix], Any]] = {
            "faiss": lambda x: flat.search(x, 10),
            "vsearch": lambda x: index.search_vectors(x, 10, modality="text"),
        }
        seconds = _in_turn(ways, [xq[batch * n :][:batch] for n in range(10 if batch < 100 else 2)])
        told[f"batch of {batch}"] = {
            "faiss flat ms": 1e3 * seconds["faiss"],
            "vsearch ms": 1e3 * seconds["vsearch"],
            "faiss flat / vsearch": seconds["faiss"] / seconds["vsearch"],
        }
    return told


def _in_turn(ways: dict[str, Callable[[Matrix], Any]], asked: list[Matrix]) -> dict[str, float]:
    """Median seconds of each way, whose turns of all questions alternate; the first turn is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(1 + TURNS):
        for name, way in ways.items():
            for one in asked:
                began = time.perf_counter()
                way(one)
                if turn:
                    seconds[name].append(time.perf_counter() - began)
    return {name: median(times) for name, times in seconds.items()}


def tables(figures: dict[str, Any]) -> list[str]:
    """One query, and batches of exact search."""
    return table(figures["one query"]) + table(figures["exact"])
