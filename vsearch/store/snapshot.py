"""One consistent moment of an index: every answer is made from a single LMDB read transaction."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec
import numpy as np

from vsearch.bounds import clamped, valid
from vsearch.errors import IndexCorrupt
from vsearch.kernels import widen
from vsearch.store import derived, described, settings
from vsearch.store import live as live_ids
from vsearch.store.batch import ArchiveState, path_key
from vsearch.store.records import (
    MADE_KEY,
    MOST_ID,
    Derived,
    Head,
    Record,
    Space,
    decode,
    derived_key,
    id_key,
    key_id,
    opened,
    unpack_derived,
)
from vsearch.store.segments import SegmentReader, damaged_rows, row_is_whole
from vsearch.types import Details, Failure, MadeWith, Settings, Tags

if TYPE_CHECKING:
    import lmdb
    from numpy.typing import NDArray

_DESCRIPTIONS = (("the details", b"detail"), ("the tags", b"tag"))
# Rows that are looked at together: their float32 form stays in the cache while it is multiplied.
BLOCK_ROWS = 2048
_MOST_REASON = 1000  # characters


@dataclass(frozen=True, slots=True)
class State:
    """What a snapshot needs decoded, kept between snapshots until the next commit."""

    txn_id: int
    head: Head
    space: Space
    live: NDArray[np.uint8]


class Readers(Protocol):
    """Where a snapshot gets its memory-mapped segments from."""

    def __call__(self, state: State) -> list[SegmentReader]:
        """The readers of all segments of a state.  Raises FileNotFoundError when a compaction took one away."""


class Snapshot:
    """What the store holds, as of one commit.  Valid inside ``with store.snapshot() as snapshot``."""

    def __init__(
        self, txn: lmdb.Transaction, tables: dict[bytes, Any], state: State, readers: list[SegmentReader]
    ) -> None:
        self._txn = txn
        self._tables = tables
        self._readers = readers
        self.head = state.head
        self.space = state.space
        self.live = state.live
        self.txn_id = state.txn_id

    def end(self) -> None:
        """Let go of the transaction: nothing can be read from now on."""
        del self._txn

    def __len__(self) -> int:
        return self.head.images

    def record(self, id: int) -> Record | None:
        """The record of an id, also of a missing picture; None for one that was dropped or never given."""
        if not 0 <= id <= MOST_ID:  # no key can be made of it
            return None
        raw = self._txn.get(id_key(id), db=self._tables[b"item"])
        return None if raw is None else Record.unpack(raw)

    def raw_records(self, ids: NDArray[np.int64]) -> list[bytes | None]:
        """The record of each id as it was packed, compared with its checksum; None for one that has none.

        Raises IndexCorrupt.
        """
        packed = ids.astype(">u8").tobytes()
        keys = [packed[at : at + 8] for at in range(0, len(packed), 8)]
        with self._txn.cursor(self._tables[b"item"]) as cursor:
            found = dict(cursor.getmulti(keys))
        for raw in found.values():
            opened(raw, "the record of a picture")
        return [found.get(key) for key in keys]

    def items(self, damaged: list[int] | None = None) -> Iterator[tuple[int, Record]]:
        """All pictures, missing ones too, in id order.

        damaged: takes the ids of records that do not match their checksums; without it they raise IndexCorrupt.
        """
        with self._txn.cursor(self._tables[b"item"]) as cursor:
            for key, raw in cursor:
                try:
                    id, record = key_id(key), Record.unpack(raw)
                except IndexCorrupt:
                    if damaged is None:
                        raise
                    damaged.append(int.from_bytes(key, "big"))
                else:
                    yield id, record

    def details(self, id: int) -> Details:
        """What is known of a picture besides its record; empty where nothing is."""
        raw = self._described(b"detail", id)
        return Details() if raw is None else described.unpack_details(raw)

    def tags(self, id: int) -> Tags:
        """The tags of a picture."""
        raw = self._described(b"tag", id)
        return () if raw is None else described.unpack_tags(raw)

    def _described(self, table: bytes, id: int) -> bytes | None:
        # An older index that is open for reading lacks these tables.
        there = self._tables.get(table)
        return None if there is None else self._txn.get(id_key(id), db=there)

    def block(self, number: int) -> Iterator[tuple[int, Record, Details, Tags]]:
        """All that filters may ask of the pictures of a block of ids, missing ones too, in id order."""
        with self._txn.cursor(self._tables[b"item"]) as cursor:
            more = cursor.set_range(id_key(number * described.BLOCK_IDS))
            while more and (id := key_id(cursor.key())) < (number + 1) * described.BLOCK_IDS:
                yield id, Record.unpack(cursor.value()), self.details(id), self.tags(id)
                more = cursor.next()

    def damaged_descriptions(self) -> Iterator[str]:
        """Which tables of details and tags have damaged entries or such of no picture, in words."""
        for name, table in ((n, self._tables[t]) for n, t in _DESCRIPTIONS if t in self._tables):
            with self._txn.cursor(table) as cursor:
                bad = sum(not described.is_whole(raw) or not self._is_kept(key) for key, raw in cursor)
            if bad:
                yield f"{name} of {bad} pictures are damaged"

    def _is_kept(self, key: bytes) -> bool:
        return self._txn.get(key, db=self._tables[b"item"]) is not None

    def stamps(self) -> dict[int, str]:
        """Block of ids → a name of what its columns say; empty for an older index that is open for reading."""
        table = self._tables.get(b"stamp")
        return {} if table is None else described.stamps(self._txn, table)

    def made_with(self, space: str) -> MadeWith | None:
        """What the first vectors of a space were made with; None where that is not known."""
        raw = self._txn.get(MADE_KEY + space.encode(), db=self._tables[b"state"])
        return None if raw is None else decode(raw, MadeWith, "what vectors were made with")

    def roots(self) -> tuple[bytes, ...]:
        """The folders that pictures come from, each with a slash at its end, none inside another."""
        return described.roots(self._txn, self._tables[b"state"])

    def settings(self) -> dict[bytes, Settings]:
        """Root → what it was indexed with, of roots that were named as such."""
        return settings.read(self._txn, self._tables[b"state"])

    def table_rows(self) -> dict[bytes, set[bytes]]:
        """Key of each table (``path_key``) → the digests of the paths of its pictures."""
        return described.rows(self._txn, self._tables[b"state"])

    def archive_state(self, path: bytes) -> ArchiveState | None:
        """The state of an archive when all of its members were accounted for; None when that never was."""
        return described.archive_state(self._txn, self._tables[b"state"], path)

    def kept_ids(self) -> NDArray[np.int64]:
        """Ids of all pictures, missing ones too, ascending."""
        with self._txn.cursor(self._tables[b"item"]) as cursor:
            keys = list(cursor.iternext(keys=True, values=False))
        if keys:  # in order, so that the last is the highest
            key_id(keys[-1])
        if any(len(key) != 8 for key in keys):
            raise IndexCorrupt("the metadata is damaged: a key that is not an id; mend it with: vsearch repair")
        return np.frombuffer(b"".join(keys), ">u8").astype(np.int64)

    def at_path(self, path: bytes) -> int | None:
        """The id of the picture at a path."""
        return self.at_digest(path_key(path))

    def at_digest(self, digest: bytes) -> int | None:
        """The id of the picture at the path with a digest (``path_key``)."""
        raw = self._txn.get(digest, db=self._tables[b"path"])
        return None if raw is None else key_id(raw)

    def paths(self) -> Iterator[tuple[bytes, int]]:
        """Digest of the path and id of each picture, missing ones too, by digest."""
        with self._txn.cursor(self._tables[b"path"]) as cursor:
            for digest, raw in cursor:
                yield digest, key_id(raw)

    def with_content(self, content: bytes) -> list[int]:
        """Ids of the pictures with these bytes (16-byte XXH3-128)."""
        with self._txn.cursor(self._tables[b"content"]) as cursor:
            return [key_id(raw) for _, raw in cursor.getmulti([content], dupdata=True)]

    def copies(self, contents: Collection[bytes]) -> dict[bytes, list[int]]:
        """Of different contents those that several pictures have, with the ids of these pictures."""
        with self._txn.cursor(self._tables[b"content"]) as cursor:
            pairs = cursor.getmulti(contents, dupdata=True)
        found: dict[bytes, list[int]] = {}
        if len({content for content, _ in pairs}) < len(pairs):
            for content, raw in pairs:
                found.setdefault(content, []).append(key_id(raw))
        return {content: ids for content, ids in found.items() if len(ids) > 1}

    def failures(self) -> Iterator[Failure]:
        """Files that could not be read, as remembered."""
        with self._txn.cursor(self._tables[b"failure"]) as cursor:
            for _, raw in cursor:
                yield unpack_failure(raw)

    def failure_at(self, path: bytes) -> Failure | None:
        """What is remembered of a file that could not be read."""
        raw = self._txn.get(path_key(path), db=self._tables[b"failure"])
        return None if raw is None else unpack_failure(raw)

    def derived(self, what: str) -> Derived | None:
        """The file of that kind that was made from the live space."""
        return unpack_derived(self._txn.get(derived_key(self.space.name, what), db=self._tables[b"state"]))

    def all_derived(self) -> list[Derived]:
        """All files that were made from the live space."""
        return derived.all_in(self._txn, self._tables[b"state"], self.space.name)

    def is_absent(self, id: int) -> bool:
        """Whether a picture has no vector in this space, because it could not be read when the space was made."""
        runs = self.space.absent
        at = bisect_right(runs, (id, sys.maxsize)) - 1
        return at >= 0 and id < runs[at][1]

    def entries(self) -> dict[bytes, int]:
        """How many entries each table has."""
        return {name: int(self._txn.stat(table)["entries"]) for name, table in self._tables.items()}

    def is_live(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each id may be shown."""
        return live_ids.test(self.live, ids)

    @property
    def shown(self) -> int:
        """How many pictures may be shown."""
        if not self.space.absent:
            return self.head.images - self.head.missing
        return int(np.bitwise_count(self.live).sum())

    def live_ids(self) -> NDArray[np.int64]:
        """All ids that may be shown, ascending."""
        return live_ids.ids(self.live)

    def vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Stored vectors of ids that exist: (n, dim) float32.

        Rows are verified as in ``blocks``.  Raises IndexCorrupt for damaged rows and for an id without a row.
        """
        return widen(self.rows(ids))

    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.float16]:
        """Stored vectors of ids that exist, as they are stored: (n, dim) fp16.  Raises what ``vectors`` raises."""
        whole = self._rows_of_one(ids)
        if whole is not None:
            return whole
        out = np.zeros((len(ids), self.space.dim), np.float16)
        found = np.zeros(len(ids), bool)
        for reader in self._readers:
            rows = reader.rows_of(ids)
            mine = np.flatnonzero(rows >= 0)
            self.verify_rows(reader, rows[mine])
            order = mine[np.argsort(rows[mine])]
            out[order] = reader.rows[rows[order]]
            found[mine] = True
        if not found.all():
            lost = ids[~found]
            raise IndexCorrupt(
                f"{len(lost)} pictures have no vector (first id {lost[0]}); embed them again with: vsearch repair",
                tuple(int(i) for i in lost),
            )
        return out

    def blocks_of(self, ids: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
        """The rows of some ids, ascending, as ``blocks`` gives those of all: nothing else is read."""
        for first in range(0, len(ids), BLOCK_ROWS):
            part = ids[first : first + BLOCK_ROWS]
            yield part, self.rows(part)

    def _rows_of_one(self, ids: NDArray[np.int64]) -> NDArray[np.float16] | None:
        """The rows of ids that lie in one segment without gaps: the usual case, and the one that has to be fast."""
        if not len(ids):
            return None
        low, high = int(ids.min()), int(ids.max())
        for reader in self._readers:
            first = reader.segment.first_id
            if reader.ids is None and first <= low and high < first + reader.segment.rows:
                rows = ids - first
                self.verify_rows(reader, rows)
                taken: NDArray[np.float16] = reader.rows.take(rows, axis=0)
                return taken
        return None

    def blocks(self, start: int = 0, most: int = BLOCK_ROWS) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
        """All rows with ids from ``start`` on, dead ones too, as (ids (n,), rows (n, dim) fp16) in id order.

        most: rows at once.  Rows are verified against their checksums when this process reads them for the first time.
        Raises IndexCorrupt, naming the ids, when live rows are damaged.
        """
        for reader in self._readers:
            stop = reader.segment.rows
            for first in range(reader.first_row_from(start), stop, most):
                end = min(first + most, stop)
                self.verify(reader, first, end)
                yield reader.ids_of(first, end), reader.rows[first:end]

    def verify(self, reader: SegmentReader, first: int, stop: int) -> None:
        """Compare rows [first, stop) with their checksums, once per process.  Raises IndexCorrupt naming the ids."""
        if reader.checked[first:stop].all():
            return
        for start, rows, told in self.chunks(reader, first, stop):
            if not reader.checked[start : start + rows].all():
                self._refuse(reader, self._damaged(reader, start, rows, told))
                reader.checked[start : start + rows] = True

    def verify_rows(self, reader: SegmentReader, rows: NDArray[np.int64]) -> None:
        """Compare single rows with their checksums, once per process.  Raises IndexCorrupt."""
        checked = reader.checked[rows]
        if checked.all():
            return
        start, stop, told = 0, 0, b""
        for row in np.sort(rows[~checked]).tolist():
            if not start <= row < stop:
                start, length, told = next(self.chunks(reader, row, row + 1))
                stop = start + length
            if not row_is_whole(reader.rows[row], told, row - start):
                self._refuse(reader, reader.ids_of(row, row + 1).tolist())
            reader.checked[row] = True

    def _refuse(self, reader: SegmentReader, ids: list[int]) -> None:
        if ids:
            raise IndexCorrupt(
                f"{reader.path}: the vectors of {len(ids)} pictures are damaged (ids "
                f"{', '.join(map(str, ids[:8]))}{' …' if len(ids) > 8 else ''}); "
                f"embed just those again with: vsearch repair",
                tuple(ids),
            )

    def damaged(self, reader: SegmentReader) -> list[int]:
        """Ids whose rows do not match their checksums, of all that are kept."""
        chunks = self.chunks(reader, 0, reader.segment.rows)
        return [id for start, rows, told in chunks for id in self._damaged(reader, start, rows, told)]

    def _damaged(self, reader: SegmentReader, start: int, rows: int, told: bytes) -> list[int]:
        bad = damaged_rows(reader.rows[start : start + rows], told)
        ids = reader.ids_of(start, start + rows)
        return [int(ids[r]) for r in bad if self.record(int(ids[r])) is not None]

    def chunks(self, reader: SegmentReader, first: int, stop: int) -> Iterator[tuple[int, int, bytes]]:
        """(first row, rows, checksums) of the chunks that overlap rows [first, stop).

        Raises IndexCorrupt when they do not cover every row.
        """
        prefix = chunk_prefix(self.space.key, reader.segment.number)
        reached = None
        with self._txn.cursor(self._tables[b"sums"]) as cursor:
            more = cursor.set_range(prefix + (first + 1).to_bytes(4, "big"))
            more = cursor.prev() if more else cursor.last()
            while more and cursor.key()[:6] == prefix:
                start = int.from_bytes(cursor.key()[6:], "big")
                if start >= stop:
                    break
                told = opened(cursor.value(), "the checksums of vectors")
                rows, rest = divmod(len(told) - 8, 4)
                if rows < 1 or rest:
                    raise IndexCorrupt(f"{reader.path}: a checksum of rows that is none; see: vsearch check")
                if start != reached and reached is not None:
                    break
                reached = start + rows
                yield start, rows, told
                more = cursor.next()
        if stop > first and (reached is None or reached < stop):
            raise IndexCorrupt(f"{reader.path}: rows without checksums; the metadata is damaged: vsearch check")

    @property
    def readers(self) -> list[SegmentReader]:
        """The memory-mapped segments."""
        return self._readers


def until_left(snapshot: Snapshot) -> Iterator[Snapshot]:
    """Lend a snapshot, and take its transaction away when it comes back.

    LMDB has a fixed number of slots for readers, and a transaction that is over keeps its slot for as long as anybody
    holds it: a generator that waits to be asked again holds its snapshot for hours.
    """
    try:
        yield snapshot
    finally:
        snapshot.end()


def chunk_prefix(space: int, segment: int) -> bytes:
    """Start of the keys of a segment's checksums."""
    return space.to_bytes(2, "big") + segment.to_bytes(4, "big")


class _StoredFailure(msgspec.Struct, array_like=True):
    path: bytes
    stage: Literal["scan", "read", "decode", "embed"]
    reason: str
    size: int
    mtime_ns: int
    limits: tuple[float, ...] = ()


def pack_failure(failure: Failure) -> bytes:
    """A failure as LMDB value, without its seal.  Its reason may quote what it is about, which may be anything."""
    reason = valid(failure.reason)[:_MOST_REASON]
    size, mtime_ns = clamped(failure.size), clamped(failure.mtime_ns)
    told = _StoredFailure(failure.path, failure.stage, reason, size, mtime_ns, failure.limits)
    return msgspec.msgpack.encode(told)


def unpack_failure(raw: bytes) -> Failure:
    """The failure that ``pack_failure`` made.  Raises IndexCorrupt."""
    stored = decode(raw, _StoredFailure, "a remembered failure")
    return Failure(stored.path, stored.stage, stored.reason, stored.size, stored.mtime_ns, stored.limits)
