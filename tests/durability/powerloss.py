"""Every state in which a power cut may leave a store: recorded system calls, replayed on a disk that forgets."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from random import Random
from typing import Any

import xxhash

from tests.durability.crash import KINDS, crashes, materialise, read_tree
from tests.durability.disk import Disk, Tree
from tests.durability.replay import Replay
from tests.durability.trace import Event, read_trace, record
from tests.durability.zygote import ROOT, Ended, Zygote

CHECK = "tests.durability.jobs:check_many"
BATCH = 16
DEFECTS = {
    "no segment fsync": 2,
    "no file fsync before rename": 2,
    "no directory fsync": 2,
    "sync off": 2,
    "metasync off": 2,
    "commit before data": 2,
    "plain create": 0,
    "delete before commit": 7,
    "repeated generation name": 9,
}
"""What this harness must catch, and the last operation that it takes to show."""
HARMLESS = ("close", "lseek", "mmap", "fcntl", "dup", "clone", "clone3")


@dataclass
class PowerLoss:
    """Figures of a run.  points: moments between two system calls; states: different folders found there."""

    seeds: int = 0
    points: int = 0
    states: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, other: PowerLoss) -> None:
        """Count another recording in."""
        self.seeds += other.seeds
        self.points += other.points
        self.states += other.states
        for kind, count in other.by_kind.items():
            self.by_kind[kind] = self.by_kind.get(kind, 0) + count
        self.failures += other.failures

    def told(self) -> dict[str, Any]:
        """For JSON."""
        kept = {k: v for k, v in vars(self).items() if k != "failures"}
        return {**kept, "failures": len(self.failures)}


@dataclass(frozen=True, slots=True)
class Suspect:
    """A state to look at: where it lies, how many operations were acknowledged, and where it came from."""

    root: Path
    acked: int
    origin: str


def record_work(folder: Path, seed: int, last: int, mutant: str = "") -> list[Event]:
    """Run a writer under strace, in ``folder``/disk, and read the recording."""
    (folder / "disk").mkdir(parents=True)
    arguments = (str(folder / "disk" / "store"), str(folder / "log"), str(seed), str(last), mutant)
    return record_call("tests.durability.powerloss:recorded", arguments, folder / "trace")


def record_call(function: str, arguments: Sequence[str], trace: Path, inject: Sequence[str] = ()) -> list[Event]:
    """Run a function ``module:name`` of strings under strace, and read the recording."""
    module, _, name = function.partition(":")
    script = f"import sys; from {module} import {name}; {name}(*sys.argv[1:])"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = record([sys.executable, "-c", script, *arguments], trace, env, inject)
    if process.wait() != 0:
        raise RuntimeError(f"the recorded writer ended with {process.returncode}")
    events = read_trace(trace)
    trace.unlink()
    return events


def recorded(root: str, log: str, seed: str, last: str, mutant: str) -> None:
    """What runs under strace."""
    from tests.durability.jobs import work

    work(root, log, int(seed), 0, int(last), mutant)


def power_cuts(
    events: list[Event],
    disk: Path,
    log: Path,
    seed: int,
    share: float = 1.0,
    start: Disk | None = None,
    end: Path | None = None,
) -> Iterator[tuple[str, int, Tree]]:
    """(where from, operations acknowledged, folder) at every call that changed something, or a share of them.

    start: the disk at the beginning, empty unless given.  end: where the real folder is now, if not in its place.
    At the end the model must be what the real folder is: then it has understood every call.
    """
    replay, acked, random = Replay(disk, start), -1, Random(seed)
    for at, event in enumerate(replay.run(events)):
        told = _told(event, log)
        if told[:1] == [b"ack"]:
            acked = int(told[1])
        if (told or _changes(event, disk)) and random.random() < share:
            for kind, tree in crashes(replay.disk, f"{seed} {at}"):
                yield f"{kind} at call {at} ({event.name})", acked, tree
    if _comparable(replay.disk.tree()) != _comparable(read_tree(end or disk)):
        raise RuntimeError("the model disk and the real one differ at the end: a call was not understood")


def _told(event: Event, log: Path) -> list[bytes]:
    """The words that the writer told its log in this call."""
    return event.data(1).split() if event.name == "write" and _hexed(log) in event.args[0] else []


def _changes(event: Event, disk: Path) -> bool:
    if event.name in HARMLESS or (event.name == "openat" and "O_CREAT" not in event.args[2]):
        return False
    return any(_hexed(disk) in arg for arg in event.args)


def _hexed(path: Path) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(path))


def _comparable(tree: Tree) -> Tree:
    """LMDB writes its lock file through shared memory, which no trace shows, and makes it anew when it opens."""
    return {path: content for path, content in tree.items() if not path.endswith(b"/lock.mdb")}


def _digest(acked: int, tree: Tree) -> bytes:
    told = xxhash.xxh3_128(b"%d" % acked)
    for path, content in sorted(tree.items()):
        told.update(b"%d %d " % (len(path), -1 if content is None else len(content)) + path)
        told.update(content or b"")
    return told.digest()


class Inspector:
    """Looks at suspects in forks of several zygotes, while the next ones are made."""

    def __init__(self, zygotes: list[Zygote], seed: int, check: str = CHECK) -> None:
        self._free: SimpleQueue[Zygote] = SimpleQueue()
        for zygote in zygotes:
            self._free.put(zygote)
        self._pool = ThreadPoolExecutor(len(zygotes))
        self._seed = seed
        self._check = check
        self._asked: list[Future[list[str]]] = []

    def look(self, suspects: list[Suspect]) -> None:
        """Queue suspects; waits when too many are queued."""
        if len(self._asked) >= 8:
            self._asked[-8].result()
        self._asked.append(self._pool.submit(self._inspect, suspects))

    def failures(self) -> list[str]:
        """Wait for all, and tell what was wrong."""
        found = [line for future in self._asked for line in future.result()]
        self._pool.shutdown()
        return found

    @property
    def failed(self) -> bool:
        """Whether something wrong has been found so far."""
        return any(future.done() and future.result() for future in self._asked)

    def _inspect(self, suspects: list[Suspect]) -> list[str]:
        zygote = self._free.get()
        found: list[str] = []
        try:
            left = suspects
            while left:
                told, ended = self._call(zygote, left)
                found += [f"{s.origin}: {lines}" for s, lines in zip(left, told, strict=False) if lines]
                if len(told) < len(left):
                    found.append(f"{left[len(told)].origin}: the process died: {ended}")
                left = left[len(told) + 1 :]
        finally:
            self._free.put(zygote)
        for suspect in suspects:
            shutil.rmtree(suspect.root)
        return found

    def _call(self, zygote: Zygote, suspects: list[Suspect]) -> tuple[list[list[str]], Ended]:
        """The problems of each suspect, up to one that killed the process."""
        results = suspects[0].root.with_name(suspects[0].root.name + ".results")
        places = [(str(s.root / "store"), s.acked) for s in suspects]
        ended = zygote.call(self._check, places=places, seed=self._seed, results=str(results))
        told = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
        results.unlink(missing_ok=True)
        return told, ended


def run(zygotes: list[Zygote], folder: Path, seed: int, last: int, most: int, mutant: str = "") -> PowerLoss:
    """Record one writer and look at the different states of its disk; at most so many, spread over the recording.

    With a planted defect, until it shows.
    """
    figures = PowerLoss(seeds=1)
    events = record_work(folder, seed, last, mutant)
    disk, log = folder / "disk", folder / "log"
    cuts = power_cuts(events, disk, log, seed, share=share_of(events, disk, log, most))
    inspect(Inspector(zygotes, seed), cuts, folder, seed, most, figures, until_one=bool(mutant))
    return figures


def share_of(events: list[Event], disk: Path, log: Path, most: int) -> float:
    """At which share of the calls to cut, for so many states; about two of the six outcomes repeat another."""
    points = sum(1 for event in events if _told(event, log) or _changes(event, disk))
    return min(1.0, most / (3.5 * points))


def inspect(
    inspector: Inspector,
    cuts: Iterator[tuple[str, int, Tree]],
    folder: Path,
    seed: int,
    most: int,
    figures: PowerLoss,
    until_one: bool,
) -> None:
    """Look at the different states among power cuts, and count them; until one is wrong, or at all."""
    for suspects in _batches(_suspects(cuts, folder, seed, most, figures)):
        inspector.look(suspects)
        if until_one and inspector.failed:
            break
    figures.failures = inspector.failures()


def _suspects(
    cuts: Iterator[tuple[str, int, Tree]], folder: Path, seed: int, most: int, figures: PowerLoss
) -> Iterator[Suspect]:
    """Make a real folder of each state that was not seen yet."""
    seen: set[bytes] = set()
    for origin, acked, tree in cuts:
        kind = origin.partition(" at ")[0]
        figures.points += kind == KINDS[0].name
        digest = _digest(acked, tree)
        if digest in seen or len(seen) >= most:
            continue
        seen.add(digest)
        figures.states += 1
        figures.by_kind[kind] = figures.by_kind.get(kind, 0) + 1
        suspect = Suspect(folder / f"state-{figures.states}", acked, f"seed {seed}: {origin}")
        materialise(tree, suspect.root)
        yield suspect


def _batches(suspects: Iterator[Suspect]) -> Iterator[list[Suspect]]:
    while batch := list(islice(suspects, BATCH)):
        yield batch
