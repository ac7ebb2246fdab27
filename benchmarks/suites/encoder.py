"""How well the bundled encoder finds a picture by its caption, and how long a first query takes.

text_to_image: each caption is a query among all pictures of its set; recall@k is the share of captions whose picture is
among the first k, median_rank counts from 1.  flickr8k: the 1,000 development pictures in
`$VSEARCH_EVAL_DATA/flickr8k/dev.tsv`, five captions each.  gallery: the captioned pictures of the demo in ./photos.
The same is measured with the colour term left out.  cold_query_seconds: `vsearch query` from process start to printed
hits over the gallery, the median of five runs.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vsearch
from vsearch.decode import Decoded, DecodePool, Job
from vsearch.embed import colours, load_encoder

Pairs = dict[Path, list[str]]


def run(quick: bool) -> dict[str, Any]:
    """Measure on what data there is; quick takes 200 pictures of each set."""
    sets = {name: dict(list(pairs.items())[: 200 if quick else None]) for name, pairs in _sets().items() if pairs}
    figures: dict[str, Any] = {"encoder": "mini"}
    for name, pairs in sets.items():
        pixels = _pixels(list(pairs))
        for label, strength in (("", colours.STRENGTH), ("_without_colours", 0.0)):
            figures |= {f"{name}{label}_{k}": v for k, v in _retrieval(pairs, pixels, strength).items()}
    if "gallery" in sets:
        figures["cold_query_seconds"] = _cold_query()
    return figures


def _sets() -> dict[str, Pairs]:
    flickr: Pairs = {}
    listing = Path(os.environ.get("VSEARCH_EVAL_DATA") or "/nonexistent") / "flickr8k" / "dev.tsv"
    if listing.is_file():
        with listing.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                flickr.setdefault(listing.parent / row["filepath"], []).append(row["title"])
    gallery = Path("photos")
    found = vsearch.folder(gallery) if gallery.is_dir() else []
    captioned = {Path(os.fsdecode(i.path)): [i.caption] for i in found if isinstance(i, vsearch.Item) and i.caption}
    return {"flickr8k": flickr, "gallery": captioned}


def _pixels(paths: list[Path]) -> NDArray[np.uint8]:
    with DecodePool(load_encoder("mini").preprocess) as pool:
        decoded = list(pool.map(Job(os.fsencode(path)) for path in paths))
    assert all(isinstance(d, Decoded) for d in decoded)
    return np.stack([d.pixels for d in decoded if isinstance(d, Decoded)])


def _retrieval(pairs: Pairs, pixels: NDArray[np.uint8], strength: float) -> dict[str, float]:
    encoder = load_encoder("mini")
    usual, colours.STRENGTH = colours.STRENGTH, strength
    try:
        images = encoder.encode_images(pixels)
    finally:
        colours.STRENGTH = usual
    texts = encoder.encode_texts([text for captions in pairs.values() for text in captions])
    own = np.repeat(np.arange(len(pairs)), [len(captions) for captions in pairs.values()])
    scores = texts @ images.T
    ranks = 1 + (scores > scores[np.arange(len(own)), own][:, None]).sum(axis=1)
    told = {f"recall@{k}": round(float((ranks <= k).mean()), 4) for k in (1, 5, 10)}
    return {"pictures": len(pairs), **told, "median_rank": float(np.median(ranks))}


def _cold_query() -> float:
    with tempfile.TemporaryDirectory(prefix="vsearch-cold-") as name:
        place = Path(name) / "x.vsearch"
        with vsearch.create(place, encoder="mini") as index:
            index.add(vsearch.folder("photos"))
        command = [sys.executable, "-m", "vsearch", "query", "a red apple", "--index", str(place)]
        return round(median(_seconds(command) for _ in range(5)), 3)


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started
