"""kill -9 at a random moment of an operation; what is left must be the acknowledged operations, or one more."""

from __future__ import annotations

import os
import select
import shutil
import signal
import time
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from tests.durability.model import history
from tests.durability.zygote import Zygote

WORK, CHECK = "tests.durability.jobs:work", "tests.durability.jobs:check"
OPERATIONS = 23
LIVES = 3
DEFECTS = (
    "commit before data",
    "batch in two transactions",
    "delete before commit",
    "only live pictures indexed",
    "swapped before filled",
)
"""What this harness must catch."""
PATIENCE = 60.0


@dataclass
class Kills:
    """Figures of a run.

    inside: kills between the begin of an operation and its acknowledgement, by kind.
    applied: operations that were found although they had not been acknowledged.
    """

    kills: int = 0
    acked: int = 0
    applied: int = 0
    inside: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "inside_any": sum(self.inside.values()), "failures": len(self.failures)}

    def __add__(self, other: Kills) -> Kills:
        inside = {k: self.inside.get(k, 0) + other.inside.get(k, 0) for k in {**self.inside, **other.inside}}
        return Kills(
            self.kills + other.kills,
            self.acked + other.acked,
            self.applied + other.applied,
            inside,
            self.failures + other.failures,
        )


class Killer:
    """Kills writers of stores below one folder, which is its own."""

    def __init__(self, zygote: Zygote, folder: Path, seed: int, mutant: str = "") -> None:
        self._zygote = zygote
        self._folder = folder
        self._random = Random(seed)
        self._mutant = mutant
        self._seconds: list[float] = []
        self.figures = Kills()

    def run(self, kills: int) -> Kills:
        """Kill so many writers; with a planted defect, until it shows."""
        self._measure()
        while self.figures.kills < kills and not (self._mutant and self.figures.failures):
            self._life(min(LIVES, kills - self.figures.kills))
        return self.figures

    def _measure(self) -> None:
        """How long each operation takes, so that kills fall inside."""
        root = self._folder / "store"
        log = Listener(self._folder / "log")
        self._zygote.start(WORK, **self._args(root, log.path, 0, 0))
        log.listen()
        ended = self._zygote.finish()
        if not ended.ok:
            raise RuntimeError(str(ended))
        self._seconds = log.seconds
        shutil.rmtree(root)

    def _args(self, root: Path, log: Path, seed: int, first: int) -> dict[str, Any]:
        told = {"root": str(root), "log": str(log), "seed": seed, "first": first, "last": OPERATIONS - 1}
        return {**told, "mutant": self._mutant}

    def _life(self, kills: int) -> None:
        """One store, killed several times, going on from what was found."""
        seed, root, first = self._random.getrandbits(32), self._folder / "store", 0
        for _ in range(kills):
            if 0 <= first < OPERATIONS:
                first = self._one(root, seed, first)
        shutil.rmtree(root, ignore_errors=True)

    def _target(self, seed: int, first: int) -> int:
        """An operation of a kind chosen evenly, so that rare kinds are not spared."""
        kinds: dict[str, list[int]] = {}
        for op, _ in islice(history(seed), first, OPERATIONS):
            kinds.setdefault(op.kind, []).append(op.number)
        return self._random.choice(kinds[self._random.choice(sorted(kinds))])

    def _one(self, root: Path, seed: int, first: int) -> int:
        """Kill a writer that begins at operation ``first``; return where the next goes on, -1 after a failure."""
        target = self._target(seed, first)
        log = Listener(self._folder / "log")
        pid = self._zygote.start(WORK, **self._args(root, log.path, seed, first))
        # A short operation is over before we hear of its beginning, so the wait starts one operation earlier.
        before = max(first, target - 1)
        log.listen(b"begin %d " % before)
        wait = self._seconds[before] if before < target else 0.0
        time.sleep(wait + self._random.random() * self._seconds[target])
        os.kill(pid, signal.SIGKILL)
        ended = self._zygote.finish()
        log.listen()
        if ended.error:
            return self._failed(f"seed {seed}, from operation {first}: the writer failed: {ended}")
        self.figures.kills += 1
        self.figures.acked += log.acked - first + 1 if log.acked >= 0 else 0
        if log.begun > log.acked and ended.signal:
            self.figures.inside[log.kind] = self.figures.inside.get(log.kind, 0) + 1
        return self._inspect(root, seed, max(log.acked, first - 1), log.begun)

    def _inspect(self, root: Path, seed: int, acked: int, begun: int) -> int:
        looked = self._zygote.call(CHECK, root=str(root), seed=seed, acked=acked)
        if not looked.ok or looked.value["problems"]:
            why = looked.value["problems"] if looked.ok else looked
            return self._failed(f"seed {seed}, killed after operation {acked}: {why}")
        applied = looked.value["found"] > acked or (acked < 0 and begun == 0)
        self.figures.applied += applied
        return acked + 2 if applied else acked + 1

    def _failed(self, why: str) -> int:
        self.figures.failures.append(why)
        return -1


class Listener:
    """The reading end of a writer's log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(self._fd, True)
        self._held = os.open(path, os.O_WRONLY)
        self._part = b""
        self.acked = -1
        self.begun = -1
        self.kind = ""
        self.seconds: list[float] = []

    def listen(self, until: bytes | None = None) -> None:
        """Until a line begins so, or the writer has ended."""
        if self._fd < 0:
            return
        while True:
            if not select.select([self._fd], [], [], PATIENCE)[0]:
                raise TimeoutError("the writer says nothing")
            block = os.read(self._fd, 1 << 16)
            self._let_go()
            if not block:
                os.close(self._fd)
                self._fd = -1
                return
            *lines, self._part = (self._part + block).split(b"\n")
            for line in lines:
                self._hear(line)
            if until is not None and any(line.startswith(until) for line in lines):
                return

    def _hear(self, line: bytes) -> None:
        word, number, *more = line.split()
        if word == b"begin":
            self.begun, self.kind = int(number), more[0].decode()
        else:
            self.acked = int(number)
            self.seconds.append(float(more[0]))

    def _let_go(self) -> None:
        """Once the writer has the pipe open, its end is our end of file."""
        if self._held >= 0:
            os.close(self._held)
            self._held = -1
