"""Filters: what they cost, and what they find of what exact search over the pictures that pass finds.

Search: vectors of gapped.py in 256 dimensions under an index that vsearch built and tuned for recall 0.95, with columns
of random values, so that a filter has nothing to do with a query; and then filters that have everything to do with it:
pictures nearest to one of fifty, and not those where the query's own best lie.  Latency is CPU time of the asking
thread, one query at a time: with a filter that was asked before (as when turning pages, or in a server), and with one
that is new each time, for which DuckDB reads the columns.  Ratios are of medians, to unfiltered searches in turn.

Columns: as many rows as said, in column files mapped into memory; values are drawn at random, so no block can be
skipped, which is the worst case; and once more in the order of time, as collections are.  One thread; the quickest of
nine rounds.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gapped
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from venvs import CACHE

import vsearch
from vsearch.filters import blocks
from vsearch.filters.engine import Engine
from vsearch.filters.schema import SCHEMA, coded, joined
from vsearch.index import Index
from vsearch.search import nearest
from vsearch.store import BLOCK_IDS

SHARES = (1.0, 0.5, 0.1, 0.01, 0.001, 0.0001)
K, ROUNDS, REGIONS = 10, 9, 50
SHAPE = gapped.Shape(dim=256, content=128)
CAMERAS = [f"{make} {model}" for make in ("Canon", "Nikon", "Sony", "Apple", "Samsung") for model in range(60)]
SECONDS = 300_000_000  # ten years, near enough
THREE = "taken >= '2020-01-01' and width >= 2000 and camera like 'Canon%'"
CONDITIONS = {
    "three clauses": THREE,
    "two numbers": "width >= 2000 and iso < 400",
    "a folder": "folder like '2020/%'",
    "names": "name like '%77.jpg'",
    "or, not, null": "not (camera like 'Canon%' or width < 1000) and latitude is not null",
    "tags": "has_tag('dog')",
}

Figures = dict[str, Any]


def run(quick: bool, size: int | None = None) -> Figures:
    """Measure.  size: how many vectors; quick: 50,000 and a million rows of columns, else a million and ten million."""
    count = size or (50_000 if quick else 1_000_000)
    queries = 50 if quick else 100
    figures: Figures = {"vectors": count, "dimensions": SHAPE.dim, "queries of each kind": queries}
    with _index(count) as index:
        world, regions = gapped.Gapped(0, SHAPE), _regions(index)
        for modality, xq in (("text", world.text_queries(queries)), ("image", world.image_queries(queries))):
            figures[f"by share, {modality}"] = list(_by_share(index, xq, modality))
            figures |= _elsewhere(index, xq, modality, regions)
    figures |= _columns(1_000_000 if quick else 10_000_000)
    return figures


def _index(count: int) -> Index:
    """An index that is kept between runs: making a large one takes many minutes."""
    place = CACHE / f"filters-{count}.vsearch"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        scratch = place.with_suffix(".new")
        _make(scratch, count)
        scratch.rename(place)
    return vsearch.open(place)


def _make(place: Path, count: int) -> None:
    world, rng = gapped.Gapped(0, SHAPE), np.random.default_rng(1)
    with vsearch.create(place, encoder=f"external:bench:{SHAPE.dim}") as index:
        first = 0
        for rows in world.image_blocks(count):
            n = len(rows)
            shot = np.datetime64("2015-01-01T00:00:00") + rng.integers(0, SECONDS, n).astype("timedelta64[s]")
            meta = {
                "pick": rng.integers(0, 1_000_000, n),
                "width": rng.integers(500, 6000, n),
                "camera": [CAMERAS[i] for i in rng.integers(0, len(CAMERAS), n)],
                "taken": np.datetime_as_string(shot).tolist(),
            }
            index.add_vectors([f"/p/{i}.jpg" for i in range(first, first + n)], rows, meta)
            first += n
        index.build("opq-ivf-pq", text_queries=world.text_sample(2000))


def _by_share(index: Index, xq: NDArray[np.float32], modality: Any) -> Iterator[Figures]:
    """For each share: recall, hits found, and latencies in milliseconds."""
    for share in SHARES:
        where = f"pick < {int(share * 1_000_000)}"
        truth, passing = _truth(index, xq, where)
        _, found = index.search_vectors(xq, K, modality=modality, where=where)
        full = min(K, passing)
        asked = _asked(index, xq, modality, where)
        yield {
            "share": share,
            "pass": passing,
            "recall@10": _recall(found[:, :full], truth[:, :full]),
            "least hits": int((found >= 0).sum(axis=1).min()),
            **{f"{name} ms": 1e3 * seconds for name, seconds in asked.items()},
            "known / unfiltered": asked["known"] / asked["unfiltered"],
            "new / unfiltered": asked["new"] / asked["unfiltered"],
        }


def _regions(index: Index) -> NDArray[np.int64]:
    """Which of some pictures each picture is nearest to: subjects of their own, as folders and tags often are."""
    with index.store.snapshot() as snapshot:
        ids = snapshot.live_ids()
        centres = snapshot.vectors(np.sort(np.random.default_rng(3).choice(ids, REGIONS, replace=False)))
        regions = np.full(len(snapshot.live) * 8, -1)
        for part, rows in snapshot.blocks():
            regions[part] = np.argmax(rows.astype(np.float32) @ centres.T, axis=1)
    return regions


def _elsewhere(index: Index, xq: NDArray[np.float32], modality: Any, regions: NDArray[np.int64]) -> Figures:
    """Recall and latency of searches that may find only pictures of one other region, a new one for each query."""
    rng = np.random.default_rng(4)
    found, truth, narrowed, plain = [], [], [], []
    with index.store.snapshot() as snapshot:
        generation = index._searcher.generations.of(snapshot)
        scores = np.full((len(regions), len(xq)), -2, np.float32)
        for ids, rows in snapshot.blocks():
            scores[ids] = rows.astype(np.float32) @ xq.T
        for number, query in enumerate(xq):
            own = regions[np.argmax(scores[:, number])]
            other = rng.choice([r for r in range(REGIONS) if r != own])
            allowed = np.packbits(regions == other, bitorder="little")
            for seconds, bitmap in ((plain, None), (narrowed, allowed)):
                started = time.thread_time()
                _, ids = nearest(snapshot, query[None], K, modality, generation, allowed=bitmap)
                seconds.append(time.thread_time() - started)
            found.append(ids[0])
            passing = np.where(regions == other, scores[:, number], -2)
            truth.append(np.argsort(-passing, kind="stable")[:K])
    ratio = float(np.median(narrowed) / np.median(plain))
    return {
        f"{modality}, another region: recall@10": _recall(np.array(found), np.array(truth)),
        f"{modality}, another region: filtered / unfiltered": ratio,
    }


def _truth(index: Index, xq: NDArray[np.float32], where: str) -> tuple[NDArray[np.int64], int]:
    """Ids of the K best that pass, by numpy over the vectors of those alone; and how many pass."""
    with index.store.snapshot() as snapshot:
        bitmap = index.columns.matching(snapshot, where)
        assert bitmap is not None
        passing = np.flatnonzero(np.unpackbits(bitmap & snapshot.live, bitorder="little"))
        scores = np.empty((len(xq), len(passing)), np.float32)
        for at in range(0, len(passing), 50_000):
            part = slice(at, at + 50_000)
            scores[:, part] = xq @ snapshot.vectors(passing[part]).T
    return passing[np.argsort(-scores, axis=1, kind="stable")[:, :K]], len(passing)


def _recall(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), truth.tolist(), strict=True)]))


def _asked(index: Index, xq: NDArray[np.float32], modality: Any, where: str) -> dict[str, float]:
    """Median CPU seconds of a search without the filter, with it, and with one of the same share that is new."""

    def ask(query: NDArray[np.float32], condition: str | None) -> float:
        started = time.thread_time()
        index.search_vectors(query[None], K, modality=modality, where=condition)
        return time.thread_time() - started

    taken: dict[str, list[float]] = {"unfiltered": [], "known": [], "new": []}
    for number, query in enumerate(xq):
        taken["unfiltered"].append(ask(query, None))
        taken["known"].append(ask(query, where))
        taken["new"].append(ask(query, f"{where} and pick > -{number + 1}"))
    return {name: float(np.median(seconds)) for name, seconds in taken.items()}


def _columns(rows: int) -> Figures:
    figures: Figures = {"rows of columns": rows}
    for order in ("random", "by time"):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            for number, batch in enumerate(_batches(rows, order)):
                blocks.write(Path(folder) / f"{number}.arrow", batch)
            figures[f"column files, bytes per row, {order}"] = _size(folder) / rows
            started = time.perf_counter()
            read = [blocks.read(path) for path in sorted(Path(folder).iterdir(), key=lambda p: int(p.stem))]
            engine = Engine(joined([batch for batch in read if batch is not None]))
            figures[f"seconds to open and verify, {order}"] = time.perf_counter() - started
            for name, condition in CONDITIONS.items():
                wall, cpu = _timed(partial(engine.matching, condition, rows))
                figures[f"{name}, {order}: ms"] = wall * 1e3
                figures[f"{name}, {order}: CPU ms"] = cpu * 1e3
            engine.close()
    return figures


def _size(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).iterdir())


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of the quickest of some rounds."""
    wall, cpu = [], []
    for _ in range(ROUNDS):
        before = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - before[0])
        cpu.append(time.process_time() - before[1])
    return min(wall), min(cpu)


def _batches(rows: int, order: str) -> Iterator[pa.RecordBatch]:
    """Blocks of columns as ``vsearch index`` would make them, without the pictures."""
    rng = np.random.default_rng(2)
    shot = 1_420_070_400 + rng.integers(0, SECONDS, rows)
    if order == "by time":
        shot.sort()
    for first in range(0, rows, BLOCK_IDS):
        yield _batch(np.arange(first, min(first + BLOCK_IDS, rows)), shot[first : first + BLOCK_IDS], rng)


def _batch(ids: NDArray[np.int64], shot: NDArray[np.int64], rng: np.random.Generator) -> pa.RecordBatch:
    n = len(ids)
    months = np.datetime_as_string(shot.astype("datetime64[s]").astype("datetime64[M]")).tolist()
    tagged = rng.random(n) < 0.1
    columns = {
        "id": pa.array(ids),
        "taken": pa.array((shot * 1_000_000).astype("datetime64[us]")),
        "added": pa.array((shot * 1_000_000).astype("datetime64[us]")),
        "folder": coded([month.replace("-", "/") + "/" for month in months]),
        "name": pa.array([f"IMG_{id:08d}.jpg" for id in ids.tolist()], pa.large_string()),
        "ext": coded(["jpg"] * n),
        "width": pa.array(rng.integers(500, 6000, n).astype(np.uint32)),
        "height": pa.array(rng.integers(500, 6000, n).astype(np.uint32)),
        "size": pa.array(rng.integers(10_000, 9_000_000, n)),
        "camera": coded([CAMERAS[i] for i in rng.integers(0, len(CAMERAS), n)]),
        "lens": coded([f"lens {i}" for i in rng.integers(0, 100, n)]),
        "iso": pa.array(rng.integers(1, 64, n).astype(np.int32) * 100),
        "latitude": pa.array(rng.uniform(-90, 90, n), mask=rng.random(n) < 0.3),
        "longitude": pa.array(rng.uniform(-180, 180, n), mask=rng.random(n) < 0.3),
        "tags": pa.array([["dog"] if dog else [] for dog in tagged.tolist()], pa.list_(pa.string())),
        "tag_confidences": pa.array([[0.9] if dog else [] for dog in tagged.tolist()], pa.list_(pa.float32())),
    }
    arrays = [columns[f.name] if f.name in columns else pa.nulls(n, f.type) for f in SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def tables(figures: Figures) -> list[str]:
    """Recall and latency by the share of pictures that a filter lets through, for each kind of query."""
    lines: list[str] = []
    for modality in ("text", "image"):
        rows = figures.get(f"by share, {modality}", [])
        if rows:
            names = list(rows[0])
            lines += [f"{modality.capitalize()} queries:", "", f"| {' | '.join(names)} |", "|" + "---:|" * len(names)]
            lines += ["| " + " | ".join(f"{row[name]:,.4g}" for name in names) + " |" for row in rows]
            lines.append("")
    return lines
