"""A disk with pictures on which ``dups --apply`` and ``--undo`` are tried, and what must hold after any trial."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random
from typing import Any

from tests.durability.kills import Listener
from tests.durability.move_state import Before, Wrong, has_whole_line, journals
from tests.durability.zygote import Ended, Zygote

JOBS = "tests.durability.moves:"
MODULES = ("tests.durability.moves", "vsearch.duplicates")


def prepare(zygote: Zygote, folder: Path, groups: int) -> None:
    """Put a fresh disk, which is to be copied to ``disk``, into a folder; what an earlier trial has left is removed."""
    for name in ("disk", "end"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("log", "report", "rivals"):
        (folder / name).unlink(missing_ok=True)
    if not (folder / "fresh").exists():
        prepared = zygote.call(JOBS + "prepare", disk=str(folder / "disk"), groups=groups)
        if not prepared.ok:
            raise RuntimeError(str(prepared))
        (folder / "disk").rename(folder / "fresh")


class Trial:
    """A disk below one folder, made anew for every trial.  The zygote must have the fault shim preloaded.

    plain: its file system cannot rename without overwriting.  mutant: a planted defect of all who move files on it.
    """

    def __init__(self, zygote: Zygote, folder: Path, random: Random, groups: int, mutant: str = "") -> None:
        self._zygote, self._mutant, self._random = zygote, mutant, random
        self._fresh, self._log = folder / "fresh", folder / "log"
        self.disk = folder / "disk"
        self.plain = False
        self.before: Before
        self.pid = 0
        prepare(zygote, folder, groups)

    def begin(self, plain: bool = False) -> None:
        """A fresh disk."""
        shutil.rmtree(self.disk, ignore_errors=True)
        shutil.copytree(self._fresh, self.disk, symlinks=True)
        self.before, self.plain = Before(self.disk), plain

    def job(self, name: str, **given: Any) -> Any:
        """What a job returns.  Raises Wrong."""
        return self._value(self._zygote.call(JOBS + name, disk=str(self.disk), **given))

    def start(self, command: str, **given: Any) -> Listener:
        """Begin to apply or undo; for undo the journals come in a random order."""
        log = Listener(self._log)
        if command == "undo":
            there = [str(path) for path in journals(self.disk)]
            given["journals"] = self._random.sample(there, len(there))
        common = {"disk": str(self.disk), "log": str(self._log), "plain": self.plain, "mutant": self._mutant}
        self.pid = self._zygote.start(JOBS + command, **common, **given)
        return log

    def finish(self) -> Ended:
        """Wait for what was started."""
        return self._zygote.finish()

    def call(self, command: str, **given: Any) -> Any:
        """Apply or undo undisturbed, and return what that returns.  Raises Wrong."""
        self.start(command, **given).listen()
        return self._value(self.finish())

    def _value(self, ended: Ended) -> Any:
        if not ended.ok:
            raise Wrong(str(ended))
        return ended.value

    def look(self, again: bool = False) -> None:
        """Raises Wrong unless every picture is there once, nothing else has changed, and the index is sound."""
        wrong = self.before.problems() + self.job("look", again=again)
        if wrong:
            raise Wrong("; ".join(wrong))

    def undo(self) -> list[Any]:
        """Undo all journals twice; what the second time tells, but for those that were torn in their first line."""
        *_, told = self.call("undo", times=2)
        torn = [path for path in journals(self.disk) if os.path.getsize(path) and not has_whole_line(path)]
        refused = [line for line in told if isinstance(line, str)]
        if len(refused) != len(torn):
            raise Wrong(f"undoing refused {refused}, where {torn} have no whole line")
        return [line for line in told if not isinstance(line, str)]

    def put_back(self, again: bool = False) -> list[str]:
        """Look, and move everything back, which rivals may stop, and then nothing more; returns what rivals had taken.

        again: index the folder again at the end.  Raises Wrong.
        """
        wrong = self.before.problems()
        told = self.undo()
        wrong += self.before.problems()
        taken = self.before.remove_rivals()
        # A rival may have taken both ends, the one in a run that was stopped over it: the picture is at neither.
        told = [line for line in told if not (taken and "another file" in line[2])]
        if len({line[2] for line in told}) != len(taken) or not all("File exists" in line[2] for line in told):
            raise Wrong(f"undoing reported {told}, but {taken} were taken")
        wrong += [f"undoing once more: {line}" for line in (self.undo() if taken else [])] + self.before.changes()
        if wrong:
            raise Wrong("; ".join(wrong))
        if again:
            self.look(again=True)
        return taken
