"""What it costs to search four shards as Ray actors instead of one index, and how soon a dead shard is told and back.

100,000 random unit vectors of 512 dimensions (20,000 in the short form) in one index, and the same in four; both search
exactly, one query at a time, in turn, k = 10.  p10 is what it takes where nothing else wants the cores.  Nothing is
embedded.  small: the same with 400 vectors in all, which leaves little but the way to the actors and back.  Then the
process of one shard is killed: until the first answer that names it as missing, and until answers are whole again.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vsearch
from vsearch.index import Index

SHARDS, DIM, K = 4, 512, 10


def run(quick: bool) -> dict[str, Any]:
    """Measure."""
    count, rounds = (20_000, 60) if quick else (100_000, 300)
    figures: dict[str, Any] = {"shards": SHARDS, "vectors": count, "dimensions": DIM}
    with vsearch.cluster() as cluster, tempfile.TemporaryDirectory() as scratch:
        for name, size in (("small", 400), ("", count)):
            place = Path(scratch) / (name or "large")
            place.mkdir()
            paths = _make(place, size)
            with vsearch.open(place / "all.vsearch") as one, vsearch.ShardedIndex(cluster, paths) as sharded:
                figures |= {f"{name} {key}".strip(): value for key, value in _compared(one, sharded, rounds).items()}
                if not name:
                    figures |= _killed(sharded, one)
    return figures


def _make(place: Path, count: int) -> list[Path]:
    rows = np.random.default_rng(0).normal(size=(count, DIM)).astype(np.float32)
    with vsearch.create(place / "all.vsearch", encoder=f"external:random:{DIM}") as index:
        index.add_vectors([f"{n}.jpg" for n in range(count)], rows)
    paths = [place / f"{shard}.vsearch" for shard in range(SHARDS)]
    for shard, path in enumerate(paths):
        with vsearch.create(path, encoder=f"external:random:{DIM}") as index:
            index.add_vectors([f"{n}.jpg" for n in range(shard, count, SHARDS)], rows[shard::SHARDS])
    return paths


def _query(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(1000 + seed).normal(size=DIM).astype(np.float32)


def _compared(one: Index, sharded: vsearch.ShardedIndex, rounds: int) -> dict[str, Any]:
    alone, together, equal, partial = [], [], 0, 0
    for seed in range(rounds):
        query = _query(seed)
        expected, seconds = _timed(lambda q=query: one.search(q, K))  # type: ignore[misc]
        found, more = _timed(lambda q=query: sharded.search(q, K))  # type: ignore[misc]
        alone.append(seconds)
        together.append(more)
        partial += found.partial
        equal += [hit.path for hit in found] == [hit.path for hit in expected]
    return {
        "one index p50 ms": median(alone) * 1e3,
        "sharded p50 ms": median(together) * 1e3,
        "overhead p50 ms": (median(together) - median(alone)) * 1e3,
        "overhead p10 ms": float(np.percentile(together, 10) - np.percentile(alone, 10)) * 1e3,
        "sharded p95 ms": float(np.percentile(together, 95)) * 1e3,
        "partial answers": partial / rounds,
        "equal answers": equal / rounds,
    }


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    told = call()
    return told, time.perf_counter() - started


def _killed(sharded: vsearch.ShardedIndex, one: Index) -> dict[str, float]:
    import ray

    place = sharded.places[1]
    os.kill(ray.get(place.replicas[0].actor.process.remote()), signal.SIGKILL)
    killed, partial, slowest = time.perf_counter(), None, 0.0
    while True:
        found, seconds = _timed(lambda: sharded.search(_query(0), K))
        now = time.perf_counter() - killed
        slowest = max(slowest, seconds)
        if found.partial and partial is None:
            partial = now
        if not found.partial and partial is not None:
            break
    whole = [hit.path for hit in found] == [hit.path for hit in one.search(_query(0), K)]
    return {
        "s until marked partial": partial,
        "s until whole again": now,
        "slowest answer meanwhile s": slowest,
        "whole answer equal": float(whole),
    }
