"""What a picture costs: bytes, seconds of decoding and embedding, of committing, merging and exact search.

The store's figures are of random unit vectors of 512 dimensions under paths of 46 bytes, at 10,000 and 50,000 pictures
(2,000 and 10,000 in the short form): committed to four indexes, which are then merged.  error: how far what the smaller
size predicts, by the picture, is from what the larger one took.  Decoding is that of one process on 500x375 JPEGs,
embedding that of `encode_images` in batches of 32, with `mini` and with a ViT-B/32 of random weights, on all cores.
Times are the best of several rounds, since others may use the machine: they say what the work takes, not the wait.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pictures import collect
from random_clip import model_folder

import vsearch
from vsearch.decode import Decoded, DecodePool, Job
from vsearch.embed import load_encoder
from vsearch.types import PixelSpec

SHARDS, DIM, BATCH, ROUNDS = 4, 512, 32, 3


def run(quick: bool) -> dict[str, Any]:
    """Measure."""
    small, large = (2_000, 10_000) if quick else (10_000, 50_000)
    store = {count: _best(count) for count in (small, large)}
    figures: dict[str, Any] = {"sizes": f"{small:,} and {large:,}", "dimensions": DIM}
    for name in store[small]:
        figures |= {f"{name}, {count:,}": told[name] for count, told in store.items()}
        figures[f"{name}, error"] = store[small][name] / store[large][name] - 1
    return figures | _pictures(4 * BATCH)


def _best(count: int) -> dict[str, float]:
    rounds = [_store(count) for _ in range(ROUNDS)]
    return {name: min(told[name] for told in rounds) for name in rounds[0]}


def _store(count: int) -> dict[str, float]:
    """Bytes, microseconds and nanoseconds by the picture."""
    rows = np.random.default_rng(0).normal(size=(count, DIM)).astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="vsearch-scale-") as scratch:
        shards = [Path(scratch) / f"{shard}.vsearch" for shard in range(SHARDS)]
        committed = sum(_seconds(lambda s=s: _fill(shards[s], rows, s)) for s in range(SHARDS))  # type: ignore[misc]
        whole = Path(scratch) / "all.vsearch"
        merged = _seconds(lambda: vsearch.merge(whole, shards))
        vectors = sum(path.stat().st_size for path in whole.rglob("*.f16"))
        metadata = (whole / "meta" / "data.mdb").stat().st_size
        with vsearch.open(whole) as index:
            index.search_vectors(rows[:1], 10)
            searched = min(_seconds(lambda r=r: index.search_vectors(rows[r : r + 1], 10)) for r in range(50))  # type: ignore[misc]
    return {
        "vector bytes": vectors / count,
        "metadata bytes": metadata / count,
        "commit us": committed / count * 1e6,
        "merge us": merged / count * 1e6,
        "exact search ns": searched / count * 1e9,
    }


def _fill(path: Path, rows: NDArray[np.float32], shard: int) -> None:
    mine = range(shard, len(rows), SHARDS)
    with vsearch.create(path, encoder=f"external:random:{DIM}") as index:
        index.add_vectors([f"/data/photos/{n // 1000:05d}/IMG_{n:012d}_large.jpg" for n in mine], rows[shard::SHARDS])


def _seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _pictures(count: int) -> dict[str, float]:
    figures = {}
    with tempfile.TemporaryDirectory(prefix="vsearch-scale-") as scratch:
        photos = Path(scratch) / "photos"
        collect(photos, count)
        jobs = [Job(bytes(path)) for path in sorted(photos.rglob("*.jpg"))]
        for name, told in (("mini", "mini"), ("ViT-B/32", f"local-dir:{model_folder('ViT-B-32')}")):
            encoder = load_encoder(told)
            decoded, pixels = _decoded(encoder.preprocess, jobs)
            encoder.encode_images(pixels[:BATCH])
            batches = [pixels[at : at + BATCH] for at in range(0, count, BATCH)]
            embedded = min(_seconds(lambda b=b, e=encoder: e.encode_images(b)) for b in batches)  # type: ignore[misc]
            figures |= {
                f"decode ms, {name}": decoded / BATCH * 1e3,
                f"embed ms, {name}": embedded / BATCH * 1e3,
            }
    return figures


def _decoded(spec: PixelSpec, jobs: list[Job]) -> tuple[float, NDArray[np.uint8]]:
    """Seconds that the quickest batch took, and all pixels."""
    found: list[Any] = []
    with DecodePool(spec, workers=1) as pool:
        list(pool.map(jobs[:8]))
        batches = [jobs[at : at + BATCH] for at in range(0, len(jobs), BATCH)]
        best = min(_seconds(lambda b=b: found.extend(pool.map(b))) for b in batches)  # type: ignore[misc]
    return best, np.stack([outcome.pixels for outcome in found if isinstance(outcome, Decoded)])
