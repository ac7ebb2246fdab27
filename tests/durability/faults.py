"""A fault at every call that changes a file: an error once, a full disk from then on, a write of half the bytes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.durability.zygote import Zygote

WORK, CHECK = "tests.durability.jobs:work_on_bad_disk", "tests.durability.jobs:check"
SOURCE = Path(__file__).with_name("shim.c")
KINDS = {"EIO once": 1, "ENOSPC from then on": 2, "short write": 3}
OPERATIONS = 12


@dataclass(frozen=True, slots=True)
class Aim:
    """Where a defect shows: in calls of which kind of operation, and from which end to look (1 first, -1 last)."""

    during: str
    step: int


DEFECTS = {
    "unchecked short write": Aim("add", 1),
    "repeated generation name": Aim("build", -1),
    "plain create": Aim("create", 1),
}
"""What this harness must catch."""


@dataclass
class Faults:
    """Figures of a run.

    calls: file calls of an undisturbed writer.  runs: one call, one kind of fault, stop or go on.
    reported, absorbed: runs in which the writer got an error, or did not and was right nevertheless.
    by_call: runs by what the call was.
    """

    calls: int = 0
    runs: int = 0
    struck: int = 0
    reported: int = 0
    absorbed: int = 0
    by_call: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @classmethod
    def total(cls, parts: list[Faults]) -> Faults:
        """The figures of several saboteurs of the same writer."""
        by_call: dict[str, int] = {}
        for part in parts:
            for name, count in part.by_call.items():
                by_call[name] = by_call.get(name, 0) + count
        counts = {n: sum(getattr(p, n) for p in parts) for n in ("runs", "struck", "reported", "absorbed")}
        failures = [line for part in parts for line in part.failures]
        return cls(parts[0].calls, **counts, by_call=by_call, failures=failures)

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "failures": len(self.failures)}


CALLS = {
    "w": "write",
    "s": "sync",
    "t": "truncate",
    "r": "rename",
    "u": "unlink",
    "l": "link",
    "m": "mkdir",
    "o": "create",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One run: the call that fails, counted from 1, how, and whether the writer goes on afterwards."""

    at: int
    kind: str
    go_on: bool


def compile_shim(folder: Path) -> Path:
    """The preloadable library.  Raises FileNotFoundError without gcc."""
    library = folder / "shim.so"
    subprocess.run(["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return library


class Saboteur:
    """Runs writers on a bad disk.  The zygote must have the shim preloaded."""

    def __init__(self, zygote: Zygote, folder: Path, seed: int, mutant: str = "") -> None:
        self._zygote = zygote
        self._folder = folder
        self._seed = seed
        self._mutant = mutant
        self.figures = Faults()
        undisturbed = self._work(Fault(0, "EIO once", go_on=True))
        shutil.rmtree(self._folder / "disk")
        self._calls: str = undisturbed["calls"]
        self._operations: list[str] = undisturbed["operations"]
        self.figures.calls = len(self._calls)

    def faults(self, every: int = 1, during: str | None = None) -> Iterator[Fault]:
        """Each call (or every so many-th) with each kind of fault, stopping and going on.

        during: only calls that belong to operations of this kind.
        """
        for at in range(1, len(self._calls) + 1, every):
            if during not in (None, self._operations[at - 1]):
                continue
            for kind in KINDS:
                if kind != "short write" or self._calls[at - 1] == "w":
                    yield Fault(at, kind, go_on=False)
                    yield Fault(at, kind, go_on=True)

    def run(self, faults: Iterator[Fault]) -> Faults:
        """Carry out these runs; with a planted defect, until it shows."""
        for fault in faults:
            wrong = self._one(fault)
            if wrong:
                call, operation = CALLS[self._calls[fault.at - 1]], self._operations[fault.at - 1]
                self.figures.failures.append(f"{fault} ({call} in {operation}): {wrong}")
                if self._mutant:
                    break
        return self.figures

    def _work(self, fault: Fault) -> dict[str, Any]:
        disk = self._folder / "disk"
        disk.mkdir()
        told = self._zygote.call(
            WORK,
            root=str(disk / "store"),
            under=str(disk),
            log=str(self._folder / "log"),
            seed=self._seed,
            last=OPERATIONS - 1,
            at=fault.at,
            kind=KINDS[fault.kind],
            go_on=fault.go_on,
            mutant=self._mutant,
        )
        if not told.ok:
            raise BadEnd(str(told))
        value: dict[str, Any] = told.value
        return value

    def _one(self, fault: Fault) -> str:
        """What was wrong in one run; empty when nothing was."""
        try:
            told = self._work(fault)
            return self._judge(fault, told) or self._inspect(told["acked"])
        except BadEnd as error:
            return str(error)
        finally:
            shutil.rmtree(self._folder / "disk")

    def _judge(self, fault: Fault, told: dict[str, Any]) -> str:
        figures = self.figures
        figures.runs += 1
        figures.struck += told["struck"]
        figures.reported += bool(told["errors"])
        figures.absorbed += not told["errors"]
        name = CALLS[self._calls[fault.at - 1]]
        figures.by_call[name] = figures.by_call.get(name, 0) + 1
        if fault.kind == "ENOSPC from then on":
            unclear = [error for error in told["errors"] if error[0] != "DiskFull"]
            if unclear:
                return f"a full disk was reported as {unclear[0]}"
        if fault.go_on and told["acked"] != OPERATIONS - 1:
            return f"did not go on after {told['errors']}"
        return ""

    def _inspect(self, acked: int) -> str:
        looked = self._zygote.call(
            CHECK, root=str(self._folder / "disk" / "store"), seed=self._seed, acked=acked, grow=True
        )
        if not looked.ok:
            return str(looked)
        return "; ".join(looked.value["problems"])


class BadEnd(Exception):
    """The writer died, or raised what is not an error of ours."""
