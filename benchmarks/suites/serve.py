"""The server under load: its latency, what it adds to the library's own, and whether its answers stay right.

100,000 vectors (10,000 in the short form) in the space of the bundled encoder, searched exactly; the server is a
process of its own, the clients are one more on the same machine and share its cores.  Texts are each asked once, cached
texts again and again; similar searches with a stored vector.  The library's own times are those of the same calls in
this process, one at a time, taken in turn with those of one client; a text that is new to both is embedded by both.

Living: 64 clients ask for pictures like others while vectors are added and removed and the index is built and
compacted.  Wrong is an answer that lacks a picture that was there before it was asked for, has one that was gone, or
differs in the others from exact search.  Slow: the 99th percentile of four clients beside 100 connections that never
finish a request, to that without them, in turn.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import http_client
import numpy as np
from http_client import Request
from numpy.typing import NDArray
from servers import serving

import vsearch
from vsearch.index import Index

K = 10
WORDS = "red blue old small wooden wet bright dog cat boat tree house river child bread lamp road hat horse".split()
Figures = dict[str, Any]


def run(quick: bool) -> Figures:
    """Measure."""
    if os.environ.get("OMP_NUM_THREADS") != "1":  # as the server does, for the library's own times
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"OMP_NUM_THREADS": "1"})
    count, seconds = (10_000, 3.0) if quick else (100_000, 10.0)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "bench.vsearch"
        rows = _make(place, count)
        with serving(place) as (port, pid):
            figures: Figures = {"vectors": count, "dimensions": rows.shape[1]}
            figures |= _overhead(place, port, 50 if quick else 300)
            for name, clients in itertools.product(("text", "cached text", "similar"), (1, 64)):
                load = http_client.run(port, _requests(name, count), clients, seconds)
                figures |= {f"{name}, {clients} clients, {key}": value for key, value in load.figures().items()}
            figures |= _slow(port, count, seconds)
            figures |= _living(place, port, pid, rows, 10.0 if quick else 60.0)
    return figures


def _make(place: Path, count: int) -> NDArray[np.float32]:
    """An index of vectors around 100 centres; returns them as they are stored."""
    rng = np.random.default_rng(0)
    with vsearch.create(place, encoder="mini") as index:
        dim = index.encoder_info.dim
        rows = rng.normal(size=(100, dim))[rng.integers(0, 100, count)] + rng.normal(size=(count, dim))
        index.add_vectors([f"v{n}".encode() for n in range(count)], rows.astype(np.float32))
        with index.store.snapshot() as snapshot:
            return snapshot.vectors(np.arange(count))


_texts = (f"{a} {b} {c} {n}" for n in itertools.count() for a, b, c in itertools.product(WORDS, WORDS, WORDS))


def _requests(name: str, count: int) -> Iterator[Request]:
    rng = np.random.default_rng(1)
    if name == "similar":
        return (("GET", f"/similar/{rng.integers(count)}?k={K}", None) for _ in itertools.count())
    texts = _texts if name == "text" else itertools.cycle([f"a {word}" for word in WORDS])
    return (("POST", "/search", {"parts": [{"text": text}], "k": K}) for text in texts)


def _overhead(place: Path, port: int, rounds: int) -> Figures:
    """Medians of one client and of the library alone, in turn."""
    times: dict[str, list[float]] = {name: [] for name in ("text", "text, library", "similar", "similar, library")}

    async def measure(index: Index) -> None:
        connection = http_client.Connection(port)
        for number in range(rounds + 20):
            for name, query in (("text", next(_texts)), ("similar", vsearch.Query.like(number))):
                body = {"parts": [{"text": query} if name == "text" else {"id": number}], "k": K}
                started = time.perf_counter()
                await connection.ask(("POST", "/search", body))
                between = time.perf_counter()
                list(index.search(query, K))
                ended = time.perf_counter()
                if number >= 20:
                    times[name].append(between - started)
                    times[f"{name}, library"].append(ended - between)
        connection.close()

    with vsearch.open(place) as index:
        asyncio.run(measure(index))
    told = {f"{name}, p50 ms": 1000 * float(np.median(seconds)) for name, seconds in times.items()}
    for name in ("text", "similar"):
        told[f"{name}, added by the server, p50 ms"] = told[f"{name}, p50 ms"] - told[f"{name}, library, p50 ms"]
    return told


def _slow(port: int, count: int, seconds: float) -> Figures:
    """Both ways in turn, five times."""
    seen: dict[bool, list[float]] = {False: [], True: []}
    for crowded in (False, True) * 5:
        with ExitStack() as open_ones:
            for _ in range(100 if crowded else 0):
                sock = open_ones.enter_context(socket.create_connection(("127.0.0.1", port)))
                sock.sendall(b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
            load = http_client.run(port, _requests("similar", count), 4, seconds / 2)
        seen[crowded] += load.seconds
    alone, beside = (1000 * float(np.percentile(seen[crowded], 99)) for crowded in (False, True))
    return {"p99 ms of 4 clients": alone, "beside 100 slow ones": beside, "ratio": beside / alone}


class _World:
    """What is known to be in the index, and the judge of answers."""

    def __init__(self, rows: NDArray[np.float32], asked: int = 50) -> None:
        self.rows = rows
        self.asked = np.random.default_rng(2).choice(len(rows), asked, replace=False)
        self.truth = {int(id): self._best(int(id)) for id in self.asked}
        self.of: dict[int, int] = {}  # id that comes and goes → the one that it is like
        self.there: dict[int, float] = {}  # since when
        self.going: dict[int, float] = {}
        self.gone: dict[int, float] = {}
        self.answers = self.wrong = self.builds = 0
        self.other_errors = 0
        self.first_wrong = ""

    def _best(self, id: int) -> list[int]:
        scores = self.rows @ self.rows[id]
        return [int(n) for n in np.argsort(-scores)[: 3 * K] if n != id]

    def requests(self) -> Iterator[Request]:
        """One after the other, for ever."""
        return (("GET", f"/similar/{id}?k={K}", None) for id in itertools.cycle(self.asked.tolist()))

    def judge(self, request: Request, status: int, body: bytes, sent: float, done: float) -> None:
        """Count an answer, and whether it is wrong."""
        self.answers += 1
        if status != 200:
            self.other_errors += status != 503
            if status != 503 or b"Busy" not in body:
                self.first_wrong = self.first_wrong or f"{status}: {body!r}"
            return
        id = int(request[1].split("/")[2].split("?")[0])
        hits = [hit["id"] for hit in json.loads(body)["hits"]]
        alike = [n for n, of in list(self.of.items()) if of == id]
        owed = [n for n in alike if self.there.get(n, done) < sent and self.going.get(n, done + 1) > done]
        late = [n for n in hits if self.gone.get(n, sent) < sent]
        lasting = [n for n in hits if n < len(self.rows)]
        right = lasting == self.truth[id][: len(lasting)] or self._tied(id, lasting)
        if late or not right or len(hits) != K or set(owed) - set(hits):
            self.wrong += 1
            self.first_wrong = self.first_wrong or f"{id}: {hits}, owed {owed}, late {late}, right {right}"

    def _tied(self, id: int, lasting: list[int]) -> bool:
        """Whether an order differs from the true one by rounding only."""
        wanted = self.truth[id][: len(lasting)]
        got, true = (self.rows[n] @ self.rows[id] for n in (lasting, wanted))
        return bool(np.allclose(got, true, atol=1e-6))


def _living(place: Path, port: int, pid: int, rows: NDArray[np.float32], seconds: float) -> Figures:
    world = _World(rows)
    stop = threading.Event()
    writer = threading.Thread(target=_write, args=(place, world, stop))
    writer.start()
    middle: list[float] = []
    half = threading.Timer(seconds / 2, lambda: middle.append(_memory(pid)))
    half.start()
    load = http_client.run(port, world.requests(), 64, seconds, world.judge)
    stop.set()
    writer.join()
    half.join()
    figures = {f"living, 64 clients, {key}": value for key, value in load.figures().items()}
    return figures | {
        "living, answers": world.answers,
        "living, wrong": world.wrong,
        "living, 503": load.statuses.get(503, 0),
        "living, other errors": world.other_errors,
        "living, changes": len(world.there) + len(world.gone),
        "living, builds": world.builds,
        "living, MiB of the server after half the time": middle[0],
        "living, MiB of the server at the end": _memory(pid),
        "living, first wrong": world.first_wrong or "none",
    }


def _write(place: Path, world: _World, stop: threading.Event) -> None:
    """Add pictures like those that are asked for, take them away again, and build now and then."""
    rng = np.random.default_rng(3)
    with vsearch.open(place, write=True) as index:
        for step in itertools.count():
            if stop.is_set():
                return
            likes = rng.choice(world.asked, 4, replace=False)
            near = world.rows[likes] + rng.normal(size=(4, world.rows.shape[1])) * 0.002
            uris = [f"w{step}-{n}".encode() for n in range(4)]
            for id, of in zip(index.add_vectors(uris, near.astype(np.float32)).tolist(), likes.tolist(), strict=True):
                world.of[id], world.there[id] = of, time.monotonic()
            oldest = [id for id in world.there if id not in world.going][:-60]
            for id in oldest:
                world.going[id] = time.monotonic()
            index.remove(oldest)
            for id in oldest:
                world.gone[id] = time.monotonic()
            if step % 6 == 5:
                index.build("flat")
                index.compact()
                world.builds += 1
            stop.wait(0.05)


def _memory(pid: int) -> float:
    """MiB of a process that are its own (smaps_rollup: mapped files are the kernel's)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty", "Private_Clean"))) / 1024
