"""Processes that read and search while another adds, deletes, compacts and swaps FAISS generations."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.durability import mutants, subject
from tests.durability.jobs import Log
from tests.durability.model import DIM, SILENT, Op, State, history, vector
from tests.durability.zygote import Zygote
from vsearch.index import Index, open_index
from vsearch.store import Snapshot, Store
from vsearch.store.check import check

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST = 300
BUILD_EVERY = 8
DEFECTS = ("old index, new watermark", "no LMDB lock", "state of another transaction", "no second try")
"""What this harness must catch."""
WRITE, READ = "tests.durability.readers:write", "tests.durability.readers:read"
THOROUGH, SEARCH_EVERY = 20, 5


@dataclass
class Race:
    """Figures of a run.

    reads: consistent moments compared with the model; searches: questions asked through the front door;
    backups: copies made meanwhile, each compared with the model and checked.
    """

    reads: int = 0
    searches: int = 0
    backups: int = 0
    operations: int = 0
    failures: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "failures": len(self.failures)}


def run(zygotes: list[Zygote], folder: Path, seed: int, reads: int, mutant: str = "") -> Race:
    """Let the first zygote write while the others read, ``reads`` in all; with two or more, the last also backs up."""
    figures = Race()
    writer, *readers = zygotes
    shared = {"root": str(folder / "store"), "log": str(folder / "log"), "seed": seed}
    begun = writer.call(WRITE, **shared, first=0, last=4, stop=str(folder / "stop"))
    if not begun.ok:
        raise RuntimeError(str(begun))
    writer.start(WRITE, **shared, first=5, last=10**9, stop=str(folder / "stop"))
    for number, reader in enumerate(readers):
        reader.start(READ, **shared, reads=reads // len(readers), number=number, mutant=mutant)
    for reader in readers:
        ended = reader.finish()
        if not ended.ok:
            figures.failures.append(str(ended))
            continue
        figures.reads += ended.value["reads"]
        figures.searches += ended.value["searches"]
        figures.backups += ended.value["backups"]
        figures.failures += ended.value["failures"]
    (folder / "stop").touch()
    ended = writer.finish()
    if not ended.ok:
        figures.failures.append(f"the writer failed: {ended}")
    figures.operations = ended.value or 0
    return figures


def write(root: str, log: str, seed: int, first: int, last: int, stop: str) -> int:
    """Carry out operations through the front door until a file appears; return how many."""
    told, done = Log(log), 0
    if first == 0:
        subject.create(Path(root)).close()
    with open_index(root, write=True) as index:
        for op, _ in islice(history(seed, LEAST), max(1, first), last + 1):
            if os.path.exists(stop):
                break
            told.begin(op)
            if op.kind != "build" or op.number % BUILD_EVERY == 0:
                # Tuning takes many times as long as all else, and would leave the readers little to race with.
                do(index, op)
            told.ack(op)
            done += 1
    return done


def do(index: Index, op: Op) -> None:
    """Carry out an operation."""
    if op.kind == "build":
        index.build("ivf-flat")
    elif op.kind == "compact":
        index.compact()
    elif op.kind != "respace":  # its searches are vectors of one space
        store_of(index).commit(subject.batch(store_of(index), op))


def store_of(index: Index) -> Store:
    """The store behind the front door: batches of vectors have no door of their own."""
    store: Store = index._store
    return store


def read(root: str, log: str, seed: int, reads: int, number: int, mutant: str) -> dict[str, Any]:
    """Read and search so many times; return figures."""
    mutants.apply(mutant)
    with open_index(root) as index, open(log, "rb", buffering=0) as acks:
        reader = Reader(index, acks.fileno(), Random(seed + number), seed)
        while reader.reads < reads and len(reader.failures) < 3:
            reader.look()
            if number == 1 and reader.reads % 500 == 100:
                reader.back_up(Path(root).with_name(f"backup-{reader.reads}"))
    return {name: getattr(reader, name) for name in ("reads", "searches", "backups", "failures")}


class Reader:
    """Compares what it sees with the model, which it moves on as the versions that it sees do."""

    def __init__(self, index: Index, acks: int, random: Random, seed: int) -> None:
        self._index = index
        self._acks = acks
        self._random = random
        self._stream = history(seed, LEAST)
        self._states: dict[int, State] = {}
        self._reached = -1
        self._version = -1
        self.reads = self.searches = self.backups = 0
        self.failures: list[str] = []

    def look(self) -> None:
        """One read of a consistent moment, and now and then a search."""
        least = self._acked()
        with store_of(self._index).snapshot() as snapshot:
            version = subject.version(snapshot)
            state = self._state(version)
            if version < max(least, self._version):
                self.failures.append(f"went back to {version} after {self._version}, acknowledged {least}")
            elif self.reads % THOROUGH == 0:
                self.failures += subject.problems(store_of(self._index), snapshot, state, generations=False)
            else:
                self.failures += self._glance(snapshot, state)
        self.reads += 1
        self._version = max(version, self._version)
        if self.reads % SEARCH_EVERY == 0:
            self._search()

    def _acked(self) -> int:
        """The last operation that the writer's log says is durable, of those that commit pictures."""
        told = os.pread(self._acks, 256, max(0, os.fstat(self._acks).st_size - 256)).split(b"\n")
        acked = [int(line.split()[1]) for line in told[1:-1] if line.startswith(b"ack")]
        return max((n for n in self._states if acked and n <= acked[-1]), default=-1)

    def _state(self, version: int) -> State:
        """The model's state at a version; older ones are forgotten."""
        while self._reached < version + 3:
            op, state = next(self._stream)
            self._reached = op.number
            if op.kind not in SILENT:
                self._states[op.number] = state
        for old in [n for n in self._states if n < self._version - 40]:
            del self._states[old]
        return self._states[version]

    def _glance(self, snapshot: Snapshot, state: State) -> list[str]:
        """All live ids, and everything about a few."""
        live = [id for id, picture in state.items() if not picture.missing]
        if snapshot.live_ids().tolist() != live:
            return [f"version {subject.version(snapshot)}: other live ids than the model's"]
        ids = np.array(self._random.sample(live, 8), np.int64)
        rows = snapshot.vectors(ids)
        return [
            f"picture {id} is not what it was"
            for id, row in zip(ids.tolist(), rows, strict=True)
            if (record := snapshot.record(id)) is None
            or record.path != state[id].path
            or not np.array_equal(row, vector(state[id].content).astype(np.float32))
        ]

    def _search(self) -> None:
        """The answers must be right for one moment between the begin and the end of the search."""
        contents = [picture.content for picture in self._random.sample(list(self._states[self._version].values()), 4)]
        xq = np.stack([vector(content) for content in contents]).astype(np.float32)
        before = self._seen()
        scores, ids = self._index.search_vectors(xq, 3)
        after = self._seen()
        self._state(after)
        between = [n for n in self._states if before <= n <= after]
        if not any(right(self._states[n], contents, xq, scores, ids) for n in between):
            self.failures.append(f"a search between versions {before} and {after} is right for none: {ids.tolist()}")
        self.searches += 1

    def _seen(self) -> int:
        with store_of(self._index).snapshot() as snapshot:
            return subject.version(snapshot)

    def back_up(self, to: Path) -> None:
        """A copy made while the writer goes on is one moment, whole, and can be written to."""
        before = self._seen()
        self._index.backup(to)
        with closing(Store.open(to, write=True)) as store:
            with store.snapshot() as snapshot:
                version = subject.version(snapshot)
                if version < before:
                    self.failures.append(f"the backup holds version {version}, begun at {before}")
                self.failures += subject.problems(store, snapshot, self._state(version), generations=False)
            self.failures += check(store).problems
        self.backups += 1


def right(
    state: State, contents: list[int], xq: NDArray[np.float32], scores: NDArray[np.float32], ids: NDArray[np.int64]
) -> bool:
    """Whether answers fit a state: only live pictures, with their scores, and each live question finds itself."""
    live = {id: picture.content for id, picture in state.items() if not picture.missing}
    if not all(int(id) in live for id in ids.ravel()):
        return False
    rows = np.stack([vector(live[int(id)]) for id in ids.ravel()]).astype(np.float32).reshape(*ids.shape, DIM)
    if not np.allclose(np.einsum("qd,qkd->qk", xq, rows), scores, atol=2e-3):
        return False
    shown = set(live.values())
    return all(live[int(row[0])] == content for row, content in zip(ids, contents, strict=True) if content in shown)
