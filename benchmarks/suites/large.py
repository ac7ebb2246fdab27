"""A million vectors, built within a budget of memory, opened, and asked.

The vectors are those of `gapped.py`, 512 dimensions (100,000 of them in the short form), stored block by block, and
built as `vsearch build --recipe opq-ivf-pq --memory 1.5G` does, in a process of its own.  peak: of that process, in MB:
anonymous memory, which is what a budget can be about, and all that was resident at once, with pages of mapped files
that the system may take back at any time.  recall@10: of 500 queries of each kind that the build never saw, against
exact search.  open: seconds from the call that opens the index to the end of its first search, with what it reads in
the page cache; read: those of reading the index file as a whole.  held: anonymous MB of the process after that search,
and before it opened anything.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from gapped import Gapped

import vsearch

QUERIES, BUDGET = 500, int(1.5 * 2**30)
KINDS = ("RssAnon", "VmRSS")
BUILD = """
import json, sys, numpy as np, vsearch
with vsearch.open(sys.argv[1], write=True) as index:
    report = index.build("opq-ivf-pq", text_queries=np.load(sys.argv[2] + "/sample.npy"), memory=int(sys.argv[3]))
json.dump({name: report[name] for name in ("factory", "seconds", "seconds_tuning", "peak_memory")}, sys.stdout)
"""
ASK = """
import json, sys, time, faiss, numpy as np, vsearch
from vsearch.evaluate import measure
def anonymous():
    return next(int(line.split()[1]) / 1000 for line in open("/proc/self/status") if line.startswith("RssAnon"))
texts, images = (np.load(f"{sys.argv[2]}/{name}.npy") for name in ("text", "image"))
before, began = anonymous(), time.perf_counter()
with vsearch.open(sys.argv[1]) as index:
    index.search_vectors(texts[:1], modality="text")
    opened, held = time.perf_counter() - began, anonymous()
    told = measure(index, texts, images)
json.dump({"open s": opened, "held before MB": before, "held MB": held} | told, sys.stdout)
"""


def run(quick: bool, size: int | None = None) -> dict[str, Any]:
    """Measure.  size: how many vectors."""
    count, space = size or (100_000 if quick else 1_000_000), Gapped(0)
    with tempfile.TemporaryDirectory(prefix="large-") as name:
        scratch, place = Path(name), Path(name) / "x.vsearch"
        np.save(scratch / "sample.npy", space.text_sample(2000))
        np.save(scratch / "text.npy", space.text_queries(QUERIES))
        np.save(scratch / "image.npy", space.image_queries(QUERIES))
        with vsearch.create(place, encoder="external:gapped:512") as index:
            stored = 0
            for block in space.image_blocks(count):
                index.add_vectors([f"gapped/{stored + row}" for row in range(len(block))], block)
                stored += len(block)
        built, peaks = _watched([sys.executable, "-c", BUILD, str(place), name, str(BUDGET)])
        asked, _ = _watched([sys.executable, "-c", ASK, str(place), name])
        (file,) = place.glob("spaces/*/ann/*/index.faiss")
        began = time.perf_counter()
        codes = len(file.read_bytes())
        read = time.perf_counter() - began
    figures: dict[str, Any] = {"vectors": count, "budget MB": BUDGET / 1e6}
    figures |= {f"peak MB, {what}": peak for what, peak in zip(("anonymous", "resident"), peaks, strict=True)}
    figures |= {f"build, {name}": told for name, told in built.items()}
    for modality in ("text", "image"):
        figures |= {f"{modality} {name}": told for name, told in asked.pop(modality).items()}
    return figures | asked | {"index file MB": codes / 1e6, "read s": read}


def _watched(command: list[str]) -> tuple[dict[str, Any], list[float]]:
    """What a process prints as JSON, and its peaks of ``KINDS`` in MB, looked at every twentieth of a second."""
    peaks = dict.fromkeys(KINDS, 0.0)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                kind, _, told = line.partition(":")
                if kind in peaks:
                    peaks[kind] = max(peaks[kind], int(told.split()[0]) / 1000)
            time.sleep(0.05)
        assert process.stdout is not None
        printed = process.stdout.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return json.loads(printed), list(peaks.values())
