"""Pictures to measure with, laid out in a folder of their own and all of them different in content.

They come from ``$VSEARCH_EVAL_DATA/flickr8k/train.tsv`` (columns ``filepath`` and ``title``) when that is set, else
from the gallery of the demo (./photos), else they are drawn from a seed.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

DRAWN = 64


def collect(folder: Path, count: int) -> str:
    """Fill ``folder`` with ``count`` JPEG files and say where they come from.

    Where the origin has fewer, they are repeated with another comment in each file: the same pixels, but other
    bytes, so that nothing is recognised as known.
    """
    origin, originals = _originals()
    folder.mkdir(parents=True)
    for number in range(count):
        data = originals[number % len(originals)]
        copy = number // len(originals)
        target = folder / f"{number // 1000:03}" / f"{number:06}.jpg"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(with_comment(_bytes(data), f"copy {copy}") if copy else _bytes(data))
    return origin


def with_comment(jpeg: bytes, comment: str) -> bytes:
    """The same picture with a comment segment (COM) behind its first segment."""
    text = comment.encode("ascii")
    at = 4 + int.from_bytes(jpeg[4:6], "big") if jpeg[2:3] == b"\xff" and jpeg[3:4] != b"\xda" else 2
    return jpeg[:at] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[at:]


def _bytes(picture: Path | bytes) -> bytes:
    return picture if isinstance(picture, bytes) else picture.read_bytes()


def _originals() -> tuple[str, list[Path] | list[bytes]]:
    listing = Path(os.environ.get("VSEARCH_EVAL_DATA") or "/nonexistent") / "flickr8k" / "train.tsv"
    if listing.is_file():
        with listing.open(encoding="utf-8", newline="") as file:
            names = dict.fromkeys(row["filepath"] for row in csv.DictReader(file, delimiter="\t"))
        return "Flickr8k", [listing.parent / name for name in names]
    gallery = sorted(Path("photos").rglob("*.jpg"))
    if gallery:
        return "the scenes of the gallery", gallery
    return "drawn from a seed", [_drawn(seed) for seed in range(DRAWN)]


def _drawn(seed: int) -> bytes:
    """A 500x375 JPEG of about the size in bytes that a photo of that size has."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC), np.int16)
    pixels = np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=85)
    return stream.getvalue()
