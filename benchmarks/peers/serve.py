"""What every peer of the `ann` suite is: a process of its own that builds and searches when it is told to.

It reads one JSON object a line from standard input and answers with one.  Only numpy and the standard library are
used here, as each peer runs in an environment of its own.  Seconds are CPU seconds of the whole process, so that other
work on the machine counts little, and threads that a library starts unasked count in full.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

Settings = dict[str, Any]


class Peer(Protocol):
    """A library under test."""

    def build(self, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
        """Index folder/images.npy, (n, dim) float32.  Returns what is worth telling of how."""

    def bytes(self) -> int:
        """Bytes of memory that the index needs to be searched, as it would be loaded."""

    def sweep(self, modality: str) -> list[Settings]:
        """The settings to try for queries of a modality."""

    def search(self, xq: NDArray[np.float32], k: int, settings: Settings) -> NDArray[np.integer]:
        """Row numbers (n, k) of the images nearest by inner product."""


def images(folder: Path) -> NDArray[np.float32]:
    """The images, memory-mapped."""
    rows: NDArray[np.float32] = np.load(folder / "images.npy", mmap_mode="r")
    return rows


def memory_mb() -> float:
    """Resident memory now, in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def peak_mb() -> float:
    """The most resident memory that there ever was, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


class _Session:
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._folder = Path()

    def build(self, folder: str, options: dict[str, Any]) -> dict[str, Any]:
        self._folder = Path(folder)
        before = memory_mb()
        cpu, wall = time.process_time(), time.perf_counter()
        told = self._peer.build(self._folder, options)
        figures = {"build_seconds": time.process_time() - cpu, "build_wall": time.perf_counter() - wall}
        # A peer that does more than build, such as storing the vectors, tells the seconds of building alone.
        return {**figures, "peak_mb": peak_mb() - before, "bytes": self._peer.bytes(), **told}

    def sweep(self, modality: str) -> dict[str, Any]:
        return {"settings": self._peer.sweep(modality)}

    def search(self, modality: str, count: int, k: int, batch: int, settings: Settings) -> dict[str, Any]:
        xq = np.load(self._folder / f"{modality}_queries.npy")[:count]
        parts = [np.ascontiguousarray(xq[at : at + batch]) for at in range(0, count, batch)]
        self._peer.search(parts[0], k, settings)
        started = time.process_time()
        found = [self._peer.search(part, k, settings) for part in parts]
        seconds = time.process_time() - started
        return {"seconds": seconds, "ids": np.concatenate(found).astype(int).tolist()}


def serve(peer: Peer) -> None:
    """Answer until the input ends.  Whatever a library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    session = _Session(peer)
    for line in sys.stdin:
        asked = json.loads(line)
        _answer(answers, getattr(session, asked.pop("do"))(**asked))


def _answer(stream: TextIO, told: dict[str, Any]) -> None:
    stream.write(json.dumps(told) + "\n")
    stream.flush()
