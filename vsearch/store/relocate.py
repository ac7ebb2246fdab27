"""Another place for everything that lies below a folder: nothing is read, and ids stay."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vsearch.errors import QueryError
from vsearch.members import address
from vsearch.store import described, settings
from vsearch.store.batch import path_key
from vsearch.store.changes import Changes
from vsearch.store.records import Record, seal
from vsearch.store.snapshot import Snapshot, pack_failure

if TYPE_CHECKING:
    import lmdb

    from vsearch.store.store import Store


@dataclass(frozen=True)
class _Move:
    """From below one folder to below another, both with a slash at their end."""

    old: bytes
    new: bytes

    def concerns(self, path: bytes) -> bool:
        return (path + b"/").startswith(self.old)

    def __call__(self, path: bytes) -> bytes:
        return (self.new + (path + b"/")[len(self.old) :]).removesuffix(b"/")


def relocate(store: Store, old: bytes, new: bytes) -> int:
    """Put everything that lies below a folder below another one, in one transaction; return how many pictures moved.

    old, new: absolute, the new one not inside the old one.  Where a picture is known at its new path already, the id of
    before stays if the bytes are the same, else what was read there.  Failures, roots, their settings and the states
    of archives move along.  Raises QueryError when the new one lies inside the old one, DiskFull, IndexNotWritable.
    """
    move = _Move(old.rstrip(b"/") + b"/", new.rstrip(b"/") + b"/")
    if move.new.startswith(move.old):
        raise QueryError(f"{os.fsdecode(new)} lies inside {os.fsdecode(old)}; a folder cannot move into itself")
    with store.writing(), store.snapshot() as snapshot:
        pictures = [(id, record) for id, record in snapshot.items() if move.concerns(record.path)]
        # Shorter paths first: what moves up may come to where another one was that moves up as well.
        pictures.sort(key=lambda one: len(one[1].path))
        with store.edit() as (txn, tables):
            changes = Changes(txn, tables, store.head_in(txn))
            leaving = {id for id, _ in pictures}
            moved = sum(_move_picture(changes, snapshot, leaving, id, record, move) for id, record in pictures)
            _move_failures(txn, tables, snapshot, move)
            _move_archives(txn, tables[b"state"], (record.path for _, record in pictures), move)
            _move_roots(txn, tables, move)
            store.put_head(txn, changes.finish())
    return moved


def _move_picture(
    changes: Changes, snapshot: Snapshot, leaving: set[int], id: int, record: Record, move: _Move
) -> bool:
    path = move(record.path)
    known = snapshot.at_path(path)
    there = None if known is None or known in leaving else snapshot.record(known)
    if there is None:
        changes.update(id, replace(record, path=path))
    elif there.content == record.content:
        changes.update(id, replace(there, added_ns=record.added_ns))
    else:
        changes.drop(id)
        return False
    return True


def _move_failures(txn: lmdb.Transaction, tables: dict[bytes, Any], snapshot: Snapshot, move: _Move) -> None:
    failures = [failure for failure in snapshot.failures() if move.concerns(failure.path)]
    for failure in failures:
        txn.delete(path_key(failure.path), db=tables[b"failure"])
    for failure in failures:
        there = replace(failure, path=move(failure.path))
        txn.put(path_key(there.path), seal(pack_failure(there)), db=tables[b"failure"])


def _move_archives(txn: lmdb.Transaction, state: Any, paths: Iterable[bytes], move: _Move) -> None:
    archives = {archive for path in paths for archive, _ in address.candidates(path) if move.concerns(archive)}
    for archive in archives:
        told = described.archive_state(txn, state, archive)
        if told is not None:
            txn.delete(described.ARCHIVE_KEY + path_key(archive), db=state)
            described.put_archive_state(txn, state, move(archive), told)


def _move_roots(txn: lmdb.Transaction, tables: dict[bytes, Any], move: _Move) -> None:
    known = described.roots(txn, tables[b"state"])
    described.put_roots(txn, tables, (move(root[:-1]) if move.concerns(root[:-1]) else root for root in known))
    told = {root: its for root, its in settings.read(txn, tables[b"state"]).items() if move.concerns(root)}
    settings.write(txn, tables[b"state"], dict.fromkeys(told))
    settings.write(txn, tables[b"state"], {move(root): its for root, its in told.items()})
