"""What the harnesses let other processes do: work on a store, and look at what is left of it."""

from __future__ import annotations

import ctypes
import json
import os
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from tests.durability import mutants, subject
from tests.durability.model import SILENT, Op, Picture, State, history
from vsearch.errors import IndexNotFound, VsearchError
from vsearch.store import Batch, Store
from vsearch.store.check import check as check_store
from vsearch.types import Failure

EXTRA = b"/extra"


class Log:
    """A file or pipe that the parent reads: ``begin N KIND`` and ``ack N SECONDS``, each in one write."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def begin(self, op: Op) -> None:
        """An operation begins."""
        self._begun = time.perf_counter()
        os.write(self._fd, b"begin %d %s\n" % (op.number, op.kind.encode()))

    def ack(self, op: Op) -> None:
        """The store said that it is durable."""
        seconds = time.perf_counter() - self._begun
        os.write(self._fd, b"ack %d %.6f\n" % (op.number, seconds))


def work(root: str, log: str, seed: int, first: int, last: int, mutant: str = "") -> None:
    """Carry out operations ``first`` to ``last``; the first of all creates the store."""
    mutants.apply(mutant)
    told = Log(log)
    store = None if first == 0 else subject.open_for_writing(Path(root))
    for op, _ in islice(history(seed), first, last + 1):
        told.begin(op)
        if store is None:
            store = subject.create(Path(root))
        else:
            subject.do(store, op)
        told.ack(op)
    if store is not None:
        store.close()


def check(root: str, seed: int, acked: int, grow: bool = False) -> dict[str, Any]:
    """Compare a store with the model after ``acked`` operations, or one more; then write to it once more.

    grow: add pictures too, which uses up ids, so that the model cannot go on with this store.
    Returns the problems, and the number of the operation whose state was found.
    """
    allowed = dict(_states(seed, acked))
    place = Path(root)
    try:
        with closing(subject.open_for_reading(place)) as store:
            found, wrong = _compare(store, allowed)
    except IndexNotFound as error:
        if acked >= 0:
            return {"problems": [str(error)], "found": -1}
        subject.create(place).close()
        found, wrong = 0, []
    if not wrong:
        wrong = _use(place, allowed.get(found, {}), grow)
    return {"problems": wrong, "found": found}


def _states(seed: int, acked: int) -> Iterator[tuple[int, State]]:
    """States that may be found, by the version that they carry."""
    version = 0
    for op, state in islice(history(seed), acked + 2):
        if op.kind not in SILENT:
            version = op.number
        if op.number >= acked:
            yield version, state


def _compare(store: Store, allowed: dict[int, State]) -> tuple[int, list[str]]:
    with store.snapshot() as snapshot:
        found = subject.version(snapshot)
        if found not in allowed:
            return found, [f"holds operation {found}, where only {sorted(allowed)} are allowed"]
        return found, subject.problems(store, snapshot, allowed[found])


def _use(place: Path, expected: State, grow: bool) -> list[str]:
    """One more writer comes: garbage is gone, the state is the same, and a write works."""
    with closing(subject.open_for_writing(place)) as store:
        wrong = subject.leftovers(store)
        store.commit(Batch(failures=[Failure(EXTRA, "scan", "extra")]))
        store.commit(Batch(healed=[EXTRA]))
        if grow:
            new = [Picture(EXTRA + b"%d" % n, 10**6 + n) for n in range(3)]
            ids = store.commit(Batch(subject.additions(store, new)))
            expected = {**expected, **dict(zip(ids, new, strict=True))}
        if grow and len(expected) % 2:
            subject.do(store, Op(0, "compact"))
            subject.do(store, Op(0, "build"))
        if grow and len(expected) % 3 == 0:
            subject.do(store, Op(0, "respace"))
        wrong += check_store(store).problems
        with store.snapshot() as snapshot:
            return wrong + subject.problems(store, snapshot, expected)


def check_many(places: list[tuple[str, int]], seed: int, results: str) -> None:
    """Look at several stores, each with the number of operations that were acknowledged.

    The problems of each are a line of ``results``, so that they outlive a process that dies over one of them.
    """
    with open(results, "w", buffering=1) as out:
        for root, acked in places:
            try:
                told = check(root, seed, acked, grow=True)["problems"]
            except Exception as error:
                told = [f"{type(error).__name__}: {error}"]
            out.write(json.dumps(told) + "\n")


EIO_ONCE, FULL, SHORT_ONCE = 1, 2, 3


class Shim:
    """The preloaded library that makes file calls fail."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._library.fault_names.restype = ctypes.c_char_p
        self._library.fault_calls.restype = ctypes.c_long
        self._library.fault_struck.restype = ctypes.c_long

    def arm(self, under: str, at: int, kind: int) -> None:
        """Fail call number ``at`` under a folder; 0 only counts."""
        self._library.fault_arm(os.fsencode(under), ctypes.c_long(at), kind)

    def disarm(self) -> None:
        """The disk is well again."""
        self._library.fault_disarm()

    def plain_renames(self) -> None:
        """From now on this file system cannot rename without overwriting."""
        self._library.fault_plain()

    @property
    def names(self) -> str:
        """One letter for each call so far."""
        calls: int = self._library.fault_calls()
        names: bytes = self._library.fault_names()
        return names[:calls].decode()

    @property
    def struck(self) -> int:
        """How many calls failed."""
        return int(self._library.fault_struck())


def work_on_bad_disk(
    root: str, under: str, log: str, seed: int, last: int, at: int, kind: int, go_on: bool, mutant: str = ""
) -> dict[str, Any]:
    """Carry out operations 0 to ``last`` while the ``at``-th file call fails.

    Without ``go_on`` the process stops at the first error.  With it, the store is closed and opened again (a full
    disk is first tried as it is, then freed), and the operation is repeated if it has left nothing.
    Returns the calls that were made and the kind of operation each belongs to, how many failed, the errors as
    (name, message), and the last operation that was acknowledged.
    """
    mutants.apply(mutant)
    shim = Shim()
    worker = _Worker(Path(root), Log(log), shim)
    shim.arm(under, at, kind)
    operations: list[str] = []
    for op, _ in islice(history(seed), last + 1):
        worker.carry_out(op, go_on)
        operations += [op.kind] * (len(shim.names) - len(operations))
        if worker.errors and not go_on:
            break
    calls = {"calls": shim.names[: len(operations)], "operations": operations}
    told = {**calls, "struck": shim.struck, "errors": worker.errors, "acked": worker.acked}
    if go_on:
        worker.close()
    shim.disarm()
    return told


class _Worker:
    def __init__(self, root: Path, log: Log, shim: Shim) -> None:
        self._root = root
        self._log = log
        self._shim = shim
        self._store: Store | None = None
        self.errors: list[tuple[str, str]] = []
        self.acked = -1

    def carry_out(self, op: Op, go_on: bool) -> None:
        self._log.begin(op)
        try:
            self._do(op)
        except VsearchError as error:
            self._note(error)
            if not go_on:
                return
            self._recover(op)
        self._log.ack(op)
        self.acked = op.number

    def _do(self, op: Op) -> None:
        if op.kind == "create":
            self._store = subject.create(self._root)
        else:
            assert self._store is not None
            subject.do(self._store, op)

    def _note(self, error: VsearchError) -> None:
        self.errors.append((type(error).__name__, str(error)))

    def _recover(self, op: Op) -> None:
        for attempt in range(2):
            try:
                self.close()
                self._again(op)
                return
            except VsearchError as error:
                self._note(error)
                if attempt:
                    raise
                self._shim.disarm()

    def _again(self, op: Op) -> None:
        """Open the store, see whether the operation is in it, and carry it out where it is not."""
        if op.kind == "create":
            # A creation that failed may be complete, or leave nothing that stands in the way of another.
            self._store = subject.open_for_writing(self._root) if self._root.exists() else subject.create(self._root)
            return
        self._store = subject.open_for_writing(self._root)
        with self._store.snapshot() as snapshot:
            done = subject.version(snapshot) == op.number
        if not done:
            self._do(op)

    def close(self) -> None:
        if self._store is not None:
            store, self._store = self._store, None
            store.close()
