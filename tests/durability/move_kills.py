"""kill -9 at any moment of ``dups --apply`` and ``--undo``; then they are run again, and everything is as it was."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.durability.move_state import Wrong
from tests.durability.move_trial import Trial
from tests.durability.moves import HOUSES
from tests.durability.zygote import Zygote

DEFECTS = (
    "overwriting rename",
    "line after the rename",
    "placeholders",
    "names used again",
    "earlier moves forgotten",
    "second name left",
    "any file moved back",
)
"""What this harness must catch."""
GROUPS = 12
LIVES = 3
COMMANDS = ("apply", "undo")
CALLS = {"apply": 7, "undo": 5}
"""File calls for each picture."""


@dataclass
class MoveKills:
    """Figures of a run.

    inside: kills between the first file call and the end, by command.  at_calls: those of them at a file call.
    plain: kills on a file system that cannot rename without overwriting.  rivals: names that another program took in
    the last moment.  disks: how often everything was moved back in the end.
    """

    kills: int = 0
    at_calls: int = 0
    plain: int = 0
    rivals: int = 0
    disks: int = 0
    inside: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "inside_any": sum(self.inside.values()), "failures": len(self.failures)}

    def __add__(self, other: MoveKills) -> MoveKills:
        counts = {n: getattr(self, n) + getattr(other, n) for n in ("kills", "at_calls", "plain", "rivals", "disks")}
        inside = {k: self.inside.get(k, 0) + other.inside.get(k, 0) for k in COMMANDS}
        return MoveKills(**counts, inside=inside, failures=self.failures + other.failures)


class MoveKiller:
    """Kills movers below one folder, which is its own.  The zygote must have the fault shim preloaded."""

    def __init__(self, zygote: Zygote, folder: Path, seed: int, mutant: str = "") -> None:
        self._random = Random(seed)
        self._trial = Trial(zygote, folder, self._random, GROUPS, mutant)
        self._mutant = mutant
        self._seconds: dict[str, float] = {}
        self.figures = MoveKills()

    def run(self, kills: int) -> MoveKills:
        """Kill so many movers; with a planted defect, until it shows."""
        self._measure()
        while self.figures.kills < kills and not (self._mutant and self.figures.failures):
            seed = self._random.getrandbits(32)
            self._random.seed(seed)
            try:
                self._life()
            except Wrong as error:
                self.figures.failures.append(f"seed {seed}: {error}")
        return self.figures

    def _measure(self) -> None:
        """How long each command takes, so that kills fall inside."""
        self._trial.begin()
        for command in COMMANDS:
            log = self._trial.start(command, **({"keep": HOUSES[0]} if command == "apply" else {}))
            ended = self._trial.finish()
            log.listen()
            if not ended.ok:
                raise RuntimeError(str(ended))
            self._seconds[command] = log.seconds[0]

    def _life(self) -> None:
        """One disk: moving is killed some times, and perhaps finished; then moving back is; then it is left alone."""
        self._trial.begin(plain=self._random.random() < 0.5)
        keep, steady = self._random.choice(HOUSES), self._random.random() < 0.7
        for _ in range(self._random.randint(1, LIVES)):
            self._kill("apply", keep=keep if steady else self._random.choice(HOUSES))
        if steady and self._random.random() < 0.5:
            self._finish_moving(keep)
        for _ in range(self._random.randint(1, LIVES)):
            self._kill("undo")
        self.figures.rivals += len(self._trial.put_back(again=self._random.random() < 0.1))
        self.figures.disks += 1

    def _kill(self, command: str, **given: Any) -> None:
        """From outside after a while, or at a file call; then look at the disk."""
        at_call = self._random.random() < 0.5
        if at_call:
            given["die_at"] = self._random.randint(1, CALLS[command] * 2 * (GROUPS - 1))
        if self._random.random() < 0.4:
            given |= {"rival_at": self._random.randrange(1, GROUPS), "deadly": self._random.random() < 0.5}
        log = self._trial.start(command, **given)
        if not at_call:
            log.listen(b"begin")
            time.sleep(self._random.random() * self._seconds[command])
            os.kill(self._trial.pid, signal.SIGKILL)
        ended = self._trial.finish()
        log.listen()
        if ended.error:
            raise Wrong(f"{command} failed: {ended}")
        if ended.signal:
            self._count(command, at_call, inside=log.begun > log.acked)
        self._trial.look()

    def _count(self, command: str, at_call: bool, inside: bool) -> None:
        self.figures.kills += 1
        self.figures.plain += self._trial.plain
        if inside:
            self.figures.inside[command] = self.figures.inside.get(command, 0) + 1
            self.figures.at_calls += at_call

    def _finish_moving(self, keep: str) -> None:
        """Run again, it moves what is left, and the index takes nothing for a duplicate any more."""
        left = [line for line in self._trial.call("apply", keep=keep) if line[2]]
        self._trial.look()
        still = self._trial.job("left")
        if left or still:
            raise Wrong(f"moving again left {left}, and {still} duplicates")
