"""A fault at every file call of ``dups --apply`` and ``--undo``; then they are tried again, and moved back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from tests.durability.faults import CALLS, KINDS, Fault, Faults
from tests.durability.move_state import Wrong
from tests.durability.move_trial import Trial
from tests.durability.moves import HOUSES
from tests.durability.zygote import Zygote

FAULTS = {**KINDS, "short write, then ENOSPC": 4}
GROUPS = 3
MOVED = (len(HOUSES) - 1) * (GROUPS - 1)
MODES = [(command, plain) for plain in (False, True) for command in ("apply", "undo")]
"""What is disturbed, and whether the file system can rename without overwriting."""
DEFECTS = {
    "torn line refused": ("apply", "w"),
    "unchecked short write": ("apply", "w"),
    "errors passed over": ("undo", "r"),
}
"""What this harness must catch, and by faults at which calls of which command."""


class MoveSaboteur:
    """Moves pictures on a bad disk.  The zygote must have the fault shim preloaded."""

    def __init__(self, zygote: Zygote, folder: Path, mode: tuple[str, bool], mutant: str = "") -> None:
        self._command, self._plain = mode
        self._mutant = mutant
        self._trial = Trial(zygote, folder, Random(1), GROUPS, mutant)
        self._calls: str = self._work(Fault(0, "EIO once", go_on=False))["calls"]
        self.figures = Faults(calls=len(self._calls))

    def faults(self, every: int = 1, calls: str = "") -> Iterator[Fault]:
        """Each call (or every so many-th) with each kind of fault, stopping and going on.

        calls: only calls of these letters.
        """
        for at in range(1, len(self._calls) + 1, every):
            if calls and self._calls[at - 1] not in calls:
                continue
            for kind in FAULTS:
                if "short" not in kind or self._calls[at - 1] == "w":
                    yield Fault(at, kind, go_on=False)
                    yield Fault(at, kind, go_on=True)

    def run(self, faults: Iterator[Fault]) -> Faults:
        """Carry out these runs; with a planted defect, until it shows."""
        for fault in faults:
            call = CALLS[self._calls[fault.at - 1]]
            self.figures.by_call[call] = self.figures.by_call.get(call, 0) + 1
            self.figures.runs += 1
            try:
                self._one(fault)
            except Wrong as error:
                self.figures.failures.append(f"{fault} ({call} in {self._command}, plain {self._plain}): {error}")
                if self._mutant:
                    break
        return self.figures

    def _work(self, fault: Fault) -> Any:
        self._trial.begin(self._plain)
        if self._command == "undo":
            self._trial.call("apply", keep=HOUSES[0])
        how = {"at": fault.at, "kind": FAULTS[fault.kind], "go_on": fault.go_on}
        return self._trial.job("on_bad_disk", command=self._command, **how, plain=self._plain, mutant=self._mutant)

    def _one(self, fault: Fault) -> None:
        told = self._work(fault)
        tries = told["tries"]
        reported = bool(tries[0]["error"] or _why(tries[0]))
        self.figures.struck += told["struck"]
        self.figures.reported += reported
        self.figures.absorbed += not reported
        if fault.kind == "ENOSPC from then on":  # LMDB calls a write that was cut short an I/O error.
            _clear(tries)
        if fault.go_on or not reported:
            self._complete(tries[-1])
        if not reported and len(tries[0]["lines"]) != MOVED:
            raise Wrong(f"not everything was done: {tries[0]}")
        self._trial.put_back()

    def _complete(self, last: dict[str, Any]) -> None:
        """Nothing is left, and nothing is reported."""
        left = self._trial.job("left") if self._command == "apply" else len(self._trial.before.changes())
        if left or last["error"] or _why(last):
            raise Wrong(f"{left} are left after {last}")


def _why(attempt: dict[str, Any]) -> list[str]:
    return [line[2] for line in attempt["lines"] if line[2]]


def _clear(tries: list[dict[str, Any]]) -> None:
    """A full disk is reported as one."""
    unclear = [why for attempt in tries for why in _why(attempt) if "No space left" not in why]
    unclear += [attempt["error"] for attempt in tries if attempt["error"] and "DiskFull" not in attempt["error"]]
    if unclear:
        raise Wrong(f"a full disk was reported as {unclear[0]}")
