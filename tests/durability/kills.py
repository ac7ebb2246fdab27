"""kill -9 at a random moment of an operation; what is left must be the acknowledged operations, or one more."""

from __future__ import annotations

import os
import select
import shutil
import signal
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from tests.durability.zygote import Zygote

WORK, CHECK = "tests.durability.jobs:work", "tests.durability.jobs:check"
OPERATIONS = 23
SETTLED = 1.15
PATIENCE = 60.0


@dataclass
class Kills:
    """Figures of a run.  inside: kills between the begin of an operation and its acknowledgement, by kind."""

    kills: int = 0
    acked: int = 0
    inside: dict[str, int] = field(default_factory=dict)
    applied: int = 0
    failures: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "inside_an_operation": sum(self.inside.values()), "failures": len(self.failures)}


class Killer:
    """Kills writers of stores below one folder."""

    def __init__(self, zygote: Zygote, folder: Path, seed: int, mutant: str = "") -> None:
        self._zygote = zygote
        self._folder = folder
        self._random = Random(seed)
        self._mutant = mutant
        self._seconds: dict[str, float] = {}
        self.figures = Kills()

    def run(self, kills: int) -> Kills:
        """Kill so many writers.  A store lives through three kills, then a new one begins."""
        self._measure()
        while self.figures.kills < kills and not (self._mutant and self.figures.failures):
            self._life(min(3, kills - self.figures.kills))
        return self.figures

    def _measure(self) -> None:
        """How long each kind of operation takes, so that kills fall inside."""
        root, seed = self._folder / "timed", self._random.getrandbits(32)
        log = _Pipe(self._folder / "log")
        self._zygote.start(WORK, **self._args(root, log.path, seed, 0))
        times: dict[str, list[float]] = {}
        for kind, seconds in log.timed():
            times.setdefault(kind, []).append(seconds)
        assert self._zygote.finish().ok
        self._seconds = {kind: median(told) for kind, told in times.items()}
        shutil.rmtree(root)

    def _args(self, root: Path, log: Path, seed: int, first: int) -> dict[str, Any]:
        told = {"root": str(root), "log": str(log), "seed": seed, "first": first, "last": OPERATIONS - 1}
        return {**told, "mutant": self._mutant}

    def _life(self, kills: int) -> None:
        seed, root, first = self._random.getrandbits(32), self._folder / "store", 0
        for _ in range(kills):
            if first >= OPERATIONS:
                break
            first = self._one(root, seed, first)
            if first < 0:
                break
        shutil.rmtree(root, ignore_errors=True)

    def _one(self, root: Path, seed: int, first: int) -> int:
        """Kill a writer that begins at operation ``first``; return where the next goes on, -1 after a failure."""
        log = _Pipe(self._folder / "log")
        pid = self._zygote.start(WORK, **self._args(root, log.path, seed, first))
        target = self._random.randrange(first, OPERATIONS)
        log.wait_for(b"begin %d " % target)
        kind = log.kind
        time.sleep(self._random.uniform(0, SETTLED) * self._seconds.get(kind, 0.003))
        os.kill(pid, signal.SIGKILL)
        ended = self._zygote.finish()
        acked, begun = log.rest()
        if ended.error:
            return self._failed(f"the writer failed: {ended}")
        self.figures.kills += 1
        self.figures.acked += acked - first + 1 if acked >= 0 else 0
        if begun > acked and ended.signal:
            self.figures.inside[log.kind] = self.figures.inside.get(log.kind, 0) + 1
        return self._inspect(root, seed, max(acked, first - 1), begun)

    def _inspect(self, root: Path, seed: int, acked: int, begun: int) -> int:
        looked = self._zygote.call(CHECK, root=str(root), seed=seed, acked=acked)
        if not looked.ok:
            return self._failed(f"seed {seed}, killed after {acked} operations: {looked}")
        if looked.value["problems"]:
            return self._failed(f"seed {seed}, killed after {acked} operations: {looked.value['problems']}")
        applied = looked.value["found"] > acked or (acked < 0 and begun == 0)
        self.figures.applied += applied
        return acked + 2 if applied else acked + 1

    def _failed(self, why: str) -> int:
        self.figures.failures.append(why)
        return -1


class _Pipe:
    """The reading end of a writer's log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(self._fd, True)
        self._held = os.open(path, os.O_WRONLY)
        self._lines: list[bytes] = []
        self._part = b""
        self.kind = ""

    def _read(self) -> bool:
        if not select.select([self._fd], [], [], PATIENCE)[0]:
            raise TimeoutError("the writer says nothing")
        block = os.read(self._fd, 1 << 16)
        self._let_go()
        *lines, self._part = (self._part + block).split(b"\n")
        self._lines += lines
        for line in lines:
            if line.startswith(b"begin"):
                self.kind = line.split()[2].decode()
        return bool(block)

    def wait_for(self, start: bytes) -> None:
        """Until a line begins so, or the writer has ended."""
        while not any(line.startswith(start) for line in self._lines) and self._read():
            pass

    def timed(self) -> list[tuple[str, float]]:
        """Kind and seconds of every operation of an undisturbed writer."""
        told, begun, seen = [], 0.0, 0
        while self._read():
            for line in self._lines[seen:]:
                if line.startswith(b"begin"):
                    begun = time.perf_counter()
                else:
                    told.append((self.kind, time.perf_counter() - begun))
            seen = len(self._lines)
        os.close(self._fd)
        return told

    def rest(self) -> tuple[int, int]:
        """After the writer's end: the last operation that was acknowledged, and the last that began."""
        while self._read():
            pass
        os.close(self._fd)
        acked = [int(line.split()[1]) for line in self._lines if line.startswith(b"ack")]
        begun = [int(line.split()[1]) for line in self._lines if line.startswith(b"begin")]
        return max(acked, default=-1), max(begun, default=-1)

    def _let_go(self) -> None:
        """Once the writer has the pipe open, its end is our end of file."""
        if self._held >= 0:
            os.close(self._held)
            self._held = -1
