"""How fast `index` is against the bare encoder and against rclip.

Each encoder indexes the same pictures at two sizes.  images_per_second is that of a whole `Index.add` of new pictures
(scan, read, decode, embed, commit), with the encoder already loaded; encoder and decoders are timed alone over the same
pictures; the turns alternate, medians are reported and the medians of the ratios of neighbours.  Where encoder and
decoders share the cores, nobody can be faster than the bound 1 / (1 / encoder + 1 / decoders); on a GPU the bound is
the slower of the two.  a thread fewer: how fast the whole is when the encoder leaves a core to the decoders, to what it
is when both want all of them, as they do by default; this is what a choice of threads could gain.

ViT-B-32-256 has random weights; rclip 3 runs the same tower from ONNX in its own environment, and the median cosine
of its vectors to those of vsearch is told.  peak_mb is the proportional set size of the process that indexes and of all
its workers, loading included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import random_clip
import torch
from memory import peak_of
from numpy.typing import NDArray
from peer import PEERS
from pictures import collect
from PIL import Image
from tables import table
from venvs import CannotInstall, python_of

import vsearch
from vsearch.decode import Decoded, DecodePool, Job
from vsearch.embed import Encoder, load_encoder

VIT = "ViT-B-32-256"
ROUNDS = 3
BATCH = 256  # what one commit of `index` embeds at most
LARGE = (4000, 3000)  # 12 megapixels
INDEXING = """
import sys, vsearch
with vsearch.create(sys.argv[2], encoder=sys.argv[3]) as index:
    assert index.add(vsearch.folder(sys.argv[1])).failed == 0
"""


def run(quick: bool) -> dict[str, Any]:
    """Measure; quick takes `mini` only."""
    with tempfile.TemporaryDirectory(prefix="vsearch-ingest-") as name:
        scratch = Path(name)
        folders, origin = _folders(scratch / "many", 384, 64)
        figures: dict[str, Any] = {"origin": origin}
        for size, photos in folders.items():
            figures[f"mini, {size}"] = _speed(photos, scratch, "mini", with_fewer=True)
        figures["peak_mb"] = _peak(folders["500x375"], scratch / "peak.vsearch", "mini")
        if quick:
            return figures
        folders, _ = _folders(scratch / "few", 128, 32)
        for size, photos in folders.items():
            figures[f"{VIT}, {size}"] = _speed(photos, scratch, f"local-dir:{random_clip.model_folder(VIT)}")
        figures["against rclip"] = {size: _beside_rclip(photos, scratch) for size, photos in folders.items()}
        return figures


def _folders(scratch: Path, small: int, large: int) -> tuple[dict[str, Path], str]:
    """Pictures as they are, and fewer of them enlarged to 12 megapixels."""
    photos, big = scratch / "photos", scratch / "large"
    origin = collect(photos, small)
    big.mkdir()
    for path in sorted(photos.rglob("*.jpg"))[:large]:
        with Image.open(path) as picture:
            picture.convert("RGB").resize(LARGE, Image.Resampling.BICUBIC).save(big / path.name, quality=90)
    return {"500x375": photos, "12 megapixels": big}, origin


def _speed(photos: Path, scratch: Path, name: str, with_fewer: bool = False) -> dict[str, float]:
    encoder = load_encoder(name)
    pixels, _ = _decoded(photos, encoder)
    encoder.encode_images(pixels[:BATCH])  # loads the weights and warms up
    whole, fewer, bare, decoding = [], [], [], []
    threads = torch.get_num_threads()
    for _ in range(ROUNDS):
        whole.append(_whole(photos, scratch, encoder))
        if with_fewer:
            torch.set_num_threads(max(1, threads - 1))
            fewer.append(_whole(photos, scratch, encoder))
            torch.set_num_threads(threads)
        bare.append(_encode(pixels, encoder))
        decoding.append(len(pixels) / _decoded(photos, encoder)[1])
    bounds = [_bound(encoder, *rates) for rates in zip(bare, decoding, strict=True)]
    figures = {
        "pictures": len(pixels),
        "images_per_second": median(whole),
        "encoder_images_per_second": median(bare),
        "decoders_images_per_second": median(decoding),
        "ratio to the encoder": median(w / b for w, b in zip(whole, bare, strict=True)),
        "ratio to the bound": median(w / b for w, b in zip(whole, bounds, strict=True)),
    }
    if with_fewer:
        figures["a thread fewer"] = median(f / w for f, w in zip(fewer, whole, strict=True))
    print(name, figures, file=sys.stderr, flush=True)
    return figures


def _whole(photos: Path, scratch: Path, encoder: Encoder) -> float:
    with tempfile.TemporaryDirectory(dir=scratch) as place:
        return _index(photos, Path(place) / "x.vsearch", encoder)


def _bound(encoder: Encoder, bare: float, decoding: float) -> float:
    shared = "cpu" in encoder.precision
    return 1 / (1 / bare + 1 / decoding) if shared else min(bare, decoding)


def _decoded(photos: Path, encoder: Encoder) -> tuple[NDArray[np.uint8], float]:
    """All pictures as the encoder wants them, (n, size, size, 3), and the seconds that decoding them took."""
    jobs = [Job(bytes(path)) for path in sorted(photos.rglob("*.jpg"))]
    with DecodePool(encoder.preprocess) as pool:
        began = time.perf_counter()
        outcomes = list(pool.map(jobs))
        seconds = time.perf_counter() - began
    return np.stack([outcome.pixels for outcome in outcomes if isinstance(outcome, Decoded)]), seconds


def _index(photos: Path, path: Path, encoder: Encoder) -> float:
    """Pictures per second of one run of `Index.add` into a new index."""
    with vsearch.create(path, encoder=encoder) as index:
        report = index.add(vsearch.folder(photos))
    if report.failed:
        raise RuntimeError(f"{report.failed} pictures failed: {report.failures[0].reason}")
    return report.images_per_second


def _encode(pixels: NDArray[np.uint8], encoder: Encoder) -> float:
    """Pictures per second of the encoder alone."""
    started = time.perf_counter()
    for at in range(0, len(pixels), BATCH):
        encoder.encode_images(pixels[at : at + BATCH])
    return len(pixels) / (time.perf_counter() - started)


def _beside_rclip(photos: Path, scratch: Path) -> dict[str, Any]:
    """Pictures per second of a whole run of each, turn by turn, and how near their vectors are to each other."""
    try:
        python = python_of("rclip")
        model = random_clip.rclip_folder(VIT)
    except CannotInstall as error:
        return {"left out": str(error)}
    encoder = load_encoder(f"local-dir:{random_clip.model_folder(VIT)}")
    ours, theirs, vectors = [], [], None
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(dir=scratch) as name:
            place = Path(name)
            ours.append(_index(photos, place / "x.vsearch", encoder))
            theirs.append(_rclip(python, model, photos, place))
            vectors = _vectors(place / "x.vsearch"), np.load(place / "vectors.npy")
    assert vectors is not None
    mine, other = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in vectors)
    return {
        "vsearch images_per_second": median(ours),
        "rclip images_per_second": median(theirs),
        "vsearch / rclip": median(a / b for a, b in zip(ours, theirs, strict=True)),
        "median cosine of their vectors": float(np.median((mine * other).sum(axis=1))),
        "precision of vsearch": encoder.precision,
    }


def _rclip(python: Path, model: Path, photos: Path, place: Path) -> float:
    program = [str(python), str(PEERS / "run_rclip.py"), str(photos), str(place / "db.sqlite3")]
    told = subprocess.run(
        [*program, str(place / "vectors.npy")],
        env={**os.environ, "RCLIP_DATADIR": str(model)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        text=True,
    )
    figures = json.loads(told.stdout)
    return float(figures["images"] / figures["seconds"])


def _vectors(path: Path) -> NDArray[np.float32]:
    """All vectors, in the order of their paths."""
    with vsearch.open(path) as index, index.store.snapshot() as snapshot:
        ids = [id for _, id in sorted((record.path, id) for id, record in snapshot.items())]
        return np.asarray(snapshot.vectors(np.array(ids)), np.float32)


def _peak(photos: Path, index: Path, encoder: str) -> float:
    return peak_of([sys.executable, "-c", INDEXING, str(photos), str(index), encoder]).whole


def tables(figures: dict[str, Any]) -> list[str]:
    """A row for each encoder and size, and one for each size beside rclip."""
    speeds = {name: told for name, told in figures.items() if isinstance(told, dict) and "pictures" in told}
    beside = {name: told for name, told in figures.get("against rclip", {}).items() if "left out" not in told}
    return [line for rows in (speeds, beside) if rows for line in table(rows)]
