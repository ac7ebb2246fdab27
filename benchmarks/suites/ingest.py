"""How fast `index` is against the bare encoder, and whether its memory depends on the number of pictures.

images_per_second is that of a whole `Index.add` of new pictures (scan, read, decode, embed, commit), with the encoder
already loaded; encoder_images_per_second is that of `encode_images` alone over the same decoded pictures in batches of
the same size.  The two take turns; the medians are reported, and the median of the ratios of neighbours.
peak_mb is the proportional set size of the process that indexes and of all its workers, loading included; in the full
form it is taken at 1,000 and at 10,000 pictures.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from memory import peak_mb
from numpy.typing import NDArray
from pictures import collect

import vsearch
from vsearch.decode import Decoded, DecodePool, Job
from vsearch.embed import Encoder, load_encoder

ENCODER = "mini"
BATCH = 256  # what one commit of `index` embeds at most
INDEXING = """
import sys, vsearch
with vsearch.create(sys.argv[2], encoder=sys.argv[3]) as index:
    assert index.add(vsearch.folder(sys.argv[1])).failed == 0
"""


def run(quick: bool) -> dict[str, Any]:
    """Measure; quick takes fewer pictures and rounds, and memory only once."""
    count, rounds = (384, 3) if quick else (1000, 5)
    with tempfile.TemporaryDirectory(prefix="vsearch-ingest-") as name:
        scratch = Path(name)
        photos = scratch / "photos"
        origin = collect(photos, count)
        figures = {"pictures": count, "origin": origin, "encoder": ENCODER, **_speed(photos, scratch, rounds)}
        if quick:
            return figures | {"peak_mb": _peak(photos, scratch / "peak.vsearch")}
        return figures | _memory(scratch)


def _speed(photos: Path, scratch: Path, rounds: int) -> dict[str, float]:
    encoder = load_encoder(ENCODER)
    pixels = _decoded(photos, encoder)
    encoder.encode_images(pixels[:BATCH])  # loads the weights and warms up
    whole, bare = [], []
    for number in range(rounds):
        whole.append(_index(photos, scratch / f"{number}.vsearch", encoder))
        bare.append(_encode(pixels, encoder))
    return {
        "images_per_second": median(whole),
        "encoder_images_per_second": median(bare),
        "ratio": median(w / b for w, b in zip(whole, bare, strict=True)),
    }


def _decoded(photos: Path, encoder: Encoder) -> NDArray[np.uint8]:
    """All pictures as the encoder wants them: (n, size, size, 3)."""
    jobs = [Job(bytes(path)) for path in sorted(photos.rglob("*.jpg"))]
    with DecodePool(encoder.preprocess) as pool:
        return np.stack([outcome.pixels for outcome in pool.map(jobs) if isinstance(outcome, Decoded)])


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


def _memory(scratch: Path) -> dict[str, float]:
    peaks = {}
    for count in (1_000, 10_000):
        photos = scratch / f"photos-{count}"
        collect(photos, count)
        peaks[count] = _peak(photos, scratch / f"peak-{count}.vsearch")
    return {
        "peak_mb": peaks[10_000],
        "peak_mb_at_1000": peaks[1_000],
        "peak_mb_at_10000": peaks[10_000],
        "peak_growth": peaks[10_000] / peaks[1_000] - 1,
    }


def _peak(photos: Path, index: Path) -> float:
    return peak_mb([sys.executable, "-c", INDEXING, str(photos), str(index), ENCODER])
