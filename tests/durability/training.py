"""kill -9 at a random moment of a training run, or at a file call of a checkpoint being written; then it is resumed.

However often it is killed, it ends at the same weights as a run that nobody disturbed, to the bit, and it never goes on
from before a checkpoint that it had acknowledged.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.durability.filecalls import counted
from tests.durability.zygote import ROOT, Zygote

sys.path[:0] = [str(ROOT / "tests")]

JOB = "tests.durability.training:work"
MODULES = ("torch", "tests.durability.training", "tiny_clip", "vsearch.train.run", "vsearch.train.openclip")
DEFECTS = ("optimizer begins anew", "samples begin anew", "best weights forgotten", "old checkpoints removed first")
"""What this harness must catch."""
PATIENCE = 120.0
STEPS = 12
LIVES = 3


@dataclass
class Trainings:
    """Figures of a run.  while_writing: kills between two file calls, most of them those of a checkpoint."""

    kills: int = 0
    while_writing: int = 0
    resumed: int = 0
    runs: int = 0
    failures: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "failures": len(self.failures)}


def work(folder: str, model: str, table: str, log: str, resume: bool, mutant: str, die_at: int) -> list[int]:
    """Train; a line in the log for each checkpoint that is acknowledged.  Returns the counts of steps and file calls.

    die_at: the file call at which the process kills itself; a write is half done then.
    """
    import torch

    from vsearch.train import TrainConfig, read_pairs, train
    from vsearch.train.loop import Moment

    torch.set_num_threads(1)
    _plant(mutant)
    calls = counted(die_at)
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def tell(now: Moment) -> None:
        if now.figures is not None:
            os.write(fd, b"%d\n" % now.step)

    config = TrainConfig(what="heads", batch=4, epochs=4, lr_heads=0.02, evaluate_every=1, patience=0, ema=0.5)
    report = train(read_pairs(table), Path(folder), encoder=model, config=config, resume=resume, on_moment=tell)
    return [report.steps, calls[0]]


def _plant(mutant: str) -> None:
    """Break the trainer of this process in the way that the name says."""
    from vsearch import files
    from vsearch.train import checkpoint, loop

    if mutant == "optimizer begins anew":
        checkpoint.unpack = lambda *_: None
    elif mutant == "samples begin anew":
        batches = loop.Loop._batches
        loop.Loop._batches = lambda self, first: ((first + n, b) for n, b in batches(self, 0) if first + n < STEPS)  # type: ignore[method-assign]
    elif mutant == "best weights forgotten":
        read = checkpoint.read

        def forgetful(*arguments: Any) -> Any:
            state = read(*arguments)
            if state is not None:
                state.best = state.weights
            return state

        checkpoint.read = forgetful
    elif mutant == "old checkpoints removed first":
        write = checkpoint.write

        def careless(root: Path, state: Any) -> Path:
            if root.is_dir():
                for old in checkpoint._numbered(root):
                    files.discard(old)
            return write(root, state)

        checkpoint.write = careless


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody killed, what it was made of, and how long it took."""

    model: Path
    table: Path
    whole: Path
    seconds: float
    calls: int


def undisturbed(zygote: Zygote, folder: Path) -> Undisturbed:
    """Train once, below a folder; the features of the frozen towers are kept, so that runs count the same calls."""
    from tiny_clip import save_pairs, save_tiny

    model, table = save_tiny(folder / "model"), save_pairs(folder / "pairs", 13)

    def trained(at: Path) -> int:
        ended = zygote.call(JOB, **_words(model, table, at), resume=False, mutant="", die_at=0)
        if not ended.ok:
            raise RuntimeError(str(ended))
        return int(ended.value[1])

    trained(folder / "first")
    whole = folder / "whole"
    shutil.copytree(folder / "first" / "cache", whole / "cache")
    begun = time.monotonic()
    calls = trained(whole)
    return Undisturbed(model, table, whole, time.monotonic() - begun, calls)


def _words(model: Path, table: Path, at: Path) -> dict[str, Any]:
    return {"folder": str(at), "model": str(model), "table": str(table), "log": str(at.with_suffix(".log"))}


class TrainingKiller:
    """Kills training runs below one folder, which is its own."""

    def __init__(self, zygote: Zygote, folder: Path, usual: Undisturbed, seed: int, mutant: str = "") -> None:
        self._zygote, self._folder, self._usual, self._mutant = zygote, folder, usual, mutant
        self._random = Random(seed)
        self.figures = Trainings()

    def run(self, kills: int) -> Trainings:
        """Kill so many times; with a planted defect, until it shows."""
        while self.figures.kills < kills and not (self._mutant and self.figures.failures):
            self._life(min(LIVES, kills - self.figures.kills))
        return self.figures

    def _args(self, folder: Path, die_at: int = 0) -> dict[str, Any]:
        words = _words(self._usual.model, self._usual.table, folder)
        return {**words, "resume": True, "mutant": self._mutant, "die_at": die_at}

    def _life(self, kills: int) -> None:
        """One run, killed several times and then left alone."""
        folder = self._folder / "run"
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_suffix(".log").unlink(missing_ok=True)
        shutil.copytree(self._usual.whole / "cache", folder / "cache")
        self.figures.runs += 1
        for _ in range(kills):
            self._kill(folder)
        ended = self._zygote.call(JOB, **self._args(folder))
        if not ended.ok or ended.value[0] != STEPS:
            self.figures.failures.append(f"could not be resumed: {ended}")
            return
        for name in ("best", f"checkpoints/{STEPS:09d}"):
            if contents(folder / name) != contents(self._usual.whole / name):
                self.figures.failures.append(f"run {self.figures.runs}: {name} is not that of the undisturbed run")

    def _kill(self, folder: Path) -> None:
        """From outside after a while, or at a file call: a checkpoint is written too fast to be hit by chance."""
        inside = self._random.random() < 0.5
        die_at = self._random.randrange(1, self._usual.calls // 2) if inside else 0
        pid = self._zygote.start(JOB, **self._args(folder, die_at))
        if not inside:
            time.sleep(self._random.random() * self._usual.seconds)
            os.kill(pid, signal.SIGKILL)
        ended = self._zygote.finish()
        if ended.error:
            self.figures.failures.append(f"the run failed: {ended}")
            return
        self.figures.kills += bool(ended.signal)
        self.figures.while_writing += inside and bool(ended.signal)
        self._resume_checked(folder)

    def _resume_checked(self, folder: Path) -> None:
        """What was acknowledged is there."""
        from vsearch.train import checkpoint

        log = folder.with_suffix(".log")
        acked = max((int(line) for line in log.read_text().split()), default=0) if log.exists() else 0
        root = folder / "checkpoints"
        whole = [int(path.name) for path in checkpoint._numbered(root) if checkpoint._whole(path)]
        self.figures.resumed += bool(whole)
        if acked > max(whole, default=0):
            self.figures.failures.append(f"checkpoint {acked} was acknowledged, and {whole} are there")


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}
