"""Edits to the tables that describe pictures, kept in step with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from vsearch.errors import DimensionMismatch
from vsearch.store import described
from vsearch.store import live as live_ids
from vsearch.store.batch import Addition, path_key
from vsearch.store.records import Head, Record, id_key, key_id
from vsearch.types import Details, Tags

if TYPE_CHECKING:
    import lmdb
    from numpy.typing import NDArray


class Changes:
    """The edits of one transaction."""

    def __init__(self, txn: lmdb.Transaction, tables: dict[bytes, Any], head: Head) -> None:
        self._txn = txn
        self._tables = tables
        self._head = head
        self._next = head.next_id
        self._images = head.images
        self._missing = head.missing
        self._on: set[int] = set()
        self._off: set[int] = set()
        self._described: set[int] = set()

    def add(self, record: Record, details: Details | None = None) -> int:
        """Give a picture the next id; what was at its path is dropped."""
        if (old := self._txn.get(path_key(record.path), db=self._tables[b"path"])) is not None:
            self.drop(key_id(old))
        id, self._next = self._next, self._next + 1
        self._put(id, record)
        if details:
            self.describe(id, details)
        return id

    def update(self, id: int, record: Record) -> None:
        """Write another record for an id; what else was at its path is dropped."""
        self._remove(id)
        at = self._txn.get(path_key(record.path), db=self._tables[b"path"])
        if at is not None and key_id(at) != id:
            self.drop(key_id(at))
        self._put(id, record)

    def describe(self, id: int, details: Details) -> None:
        """Put what is known of a picture in place of what was."""
        self._put_or_delete(b"detail", id, described.pack_details(details) if details else None)

    def tag(self, id: int, tags: Tags) -> None:
        """Put tags in place of those that a picture had."""
        self._put_or_delete(b"tag", id, described.pack_tags(tags) if tags else None)

    def _put_or_delete(self, table: bytes, id: int, value: bytes | None) -> None:
        # What is said of an id that is gone would stay for ever.
        if self._txn.get(id_key(id), db=self._tables[b"item"]) is None:
            return
        if value is None:
            self._txn.delete(id_key(id), db=self._tables[table])
        else:
            self._txn.put(id_key(id), value, db=self._tables[table])
        self._described.add(id)

    def drop(self, id: int) -> None:
        """Forget a picture."""
        self._remove(id)
        for table in (b"detail", b"tag"):
            self._txn.delete(id_key(id), db=self._tables[table])
        self._on.discard(id)
        self._off.add(id)

    def _put(self, id: int, record: Record) -> None:
        key = id_key(id)
        self._txn.put(key, record.pack(), db=self._tables[b"item"])
        self._txn.put(path_key(record.path), key, db=self._tables[b"path"])
        self._txn.put(record.content, key, db=self._tables[b"content"])
        self._described.add(id)
        self._images += 1
        self._missing += record.missing
        (self._off if record.missing else self._on).add(id)
        (self._on if record.missing else self._off).discard(id)

    def _remove(self, id: int) -> None:
        key = id_key(id)
        raw = self._txn.pop(key, db=self._tables[b"item"])
        if raw is None:
            return
        record = Record.unpack(raw)
        if self._txn.get(path_key(record.path), db=self._tables[b"path"]) == key:
            self._txn.delete(path_key(record.path), db=self._tables[b"path"])
        self._txn.delete(record.content, key, db=self._tables[b"content"])
        self._images -= 1
        self._missing -= record.missing

    def finish(self) -> Head:
        """Write the live bitmap, and return the head that goes with the edits."""
        live_ids.store(self._txn, self._tables[b"live"], self._on, self._off)
        described.stamp(self._txn, self._tables[b"stamp"], self._described)
        # Counts that were wrong may fall below nothing; ``check`` finds that, and ``repair`` mends it.
        images, missing = max(0, self._images), max(0, self._missing)
        return msgspec.structs.replace(self._head, next_id=self._next, images=images, missing=missing)


def matrix_of(additions: list[Addition], dim: int) -> NDArray[np.float16]:
    """The vectors of additions as rows (n, dim).  Raises DimensionMismatch, also for NaN and infinity."""
    if not additions:
        return np.zeros((0, dim), np.float16)
    wrong = next((a for a in additions if a.vector.shape != (dim,)), None)
    if wrong is not None:
        raise DimensionMismatch(f"a vector of shape {wrong.vector.shape} for an index of dimension {dim}")
    matrix = np.stack([a.vector for a in additions]).astype(np.float16)
    if not np.isfinite(matrix).all():
        raise DimensionMismatch("a vector with NaN or infinite numbers cannot be stored")
    return matrix
