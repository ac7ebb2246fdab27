"""How fast `index` is from archives, against the same pictures in a folder.

JPEGs of 256 pixels with a caption and a JSON file beside each, as img2dataset leaves them, in a folder, a tar, a zip
and a Parquet file, with the `toy` encoder, so that sources, reading and decoding are what takes the time.  The turns
alternate and medians are reported; the ratios are medians of those of one turn.  `list_seconds` is one walk of the
source in a new process, `again_seconds` a second `Index.add` with nothing new.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

import vsearch
from vsearch.sources import Source

SIDE = 256
LISTING = """
import sys, time
from vsearch.sources import source_for
started = time.perf_counter()
print(len(list(source_for(sys.argv[1]))), time.perf_counter() - started)
"""


def run(quick: bool) -> dict[str, Any]:
    """Measure; quick takes fewer pictures and rounds."""
    count, rounds = (500, 2) if quick else (5000, 5)
    with tempfile.TemporaryDirectory(prefix="vsearch-sources-") as name:
        sources = _made(Path(name), count)
        taken: dict[str, list[dict[str, float]]] = {kind: [] for kind in sources}
        for number in range(rounds):
            for kind, source in sources.items():
                taken[kind].append(_turn(source, Path(name) / f"{kind}-{number}.vsearch", count))
                print(kind, taken[kind][-1], file=sys.stderr, flush=True)
    figures: dict[str, Any] = {"pictures": count}
    for kind, turns in taken.items():
        figures[kind] = {key: median(turn[key] for turn in turns) for key in turns[0]}
        pairs = zip(turns, taken["folder"], strict=True)
        figures[kind]["speed_to_folder"] = median(
            turn["images_per_second"] / folder["images_per_second"] for turn, folder in pairs
        )
    return figures


def tables(figures: dict[str, Any]) -> list[str]:
    """The table of the report."""
    rows = [
        f"| {kind} | {told['images_per_second']:,.0f} | {told['speed_to_folder']:.2f} | {told['list_seconds']:.2f} "
        f"| {told['again_seconds']:.3f} |"
        for kind, told in figures.items()
        if isinstance(told, dict)
    ]
    return ["| source | images/s | to folder | list, s | again, s |", "|---|---:|---:|---:|---:|", *rows]


def _turn(source: Callable[[], Source], place: Path, count: int) -> dict[str, float]:
    path = source().roots[0].rstrip(b"#")
    done = subprocess.run((sys.executable, "-c", LISTING, path), capture_output=True, text=True, check=True)
    found, listed = done.stdout.split()
    assert int(found) == count
    with vsearch.create(place, encoder="toy") as index:
        started = time.perf_counter()
        assert index.add(source()).added == count
        added = time.perf_counter() - started
        started = time.perf_counter()
        assert index.add(source()).unchanged == count
        again = time.perf_counter() - started
    return {"images_per_second": count / added, "list_seconds": float(listed), "again_seconds": again}


def _made(place: Path, count: int) -> dict[str, Callable[[], Source]]:
    folder = place / "pictures"
    folder.mkdir()
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
        picture = Image.fromarray(noise).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:09}.jpg", quality=90)
        (folder / f"{number:09}.txt").write_text(f"picture {number}")
        (folder / f"{number:09}.json").write_text(json.dumps({"url": f"https://example.org/{number}"}))
    files = sorted(folder.iterdir())
    with tarfile.open(place / "x.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        for file in files:
            tar.add(file, file.name)
    with zipfile.ZipFile(place / "x.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for file in files:
            packed.write(file, file.name)
    pictures = [file for file in files if file.suffix == ".jpg"]
    told = {"key": [file.stem for file in pictures], "jpg": [file.read_bytes() for file in pictures]}
    parquet.write_table(pa.table(told), place / "x.parquet")
    for name in ("x.tar", "x.zip", "x.parquet"):
        os.utime(place / name, (1_700_000_000, 1_700_000_000))
    kinds = {kind: (lambda kind=kind: vsearch.archive(place / f"x.{kind}")) for kind in ("tar", "zip", "parquet")}
    return {"folder": lambda: vsearch.folder(folder), **kinds}
