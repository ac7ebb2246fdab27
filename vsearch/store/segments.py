"""Vector segments: append-only files of fp16 rows, each row the unit vector of one id.

A file begins with 64 bytes that say what it is and whose it is; rows follow without gaps.  A row is believed only
up to the count that LMDB has committed: whatever lies behind it is the rubbish of a crash.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from uuid import UUID

import numpy as np
import xxhash

from vsearch import files
from vsearch.errors import IndexCorrupt
from vsearch.store.records import Segment

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEADER = 64
MAGIC = b"vsearch1"
CHUNK_ROWS = 256
MAX_ROWS = 1 << 20
_HEAD = struct.Struct("<8s16s32sII")


def header(identity: str, space_digest: str, dim: int) -> bytes:
    """The first 64 bytes: magic, uuid of the index, digest of the encoder, dimension, bytes per number."""
    return _HEAD.pack(MAGIC, UUID(identity).bytes, bytes.fromhex(space_digest), dim, 2)


def _bytes(array: NDArray[np.float16]) -> memoryview:
    return np.ascontiguousarray(array).view(np.uint8).data.cast("B")


def create(path: Path, head: bytes) -> None:
    """Make an empty segment, durable under its name."""
    files.publish(path, lambda sink: sink.put(head))


def append(path: Path, rows: int, dim: int, vectors: NDArray[np.float16]) -> None:
    """Write vectors behind the ``rows`` committed ones, durable when this returns.  Nothing names them yet."""
    fd = files.open_for_append(path)
    try:
        end = HEADER + rows * dim * 2
        found = os.fstat(fd).st_size
        if found < end:
            raise IndexCorrupt(
                f"{path}: cut off at {found:,} of {end:,} bytes; embed the lost pictures again with: vsearch repair"
            )
        if found > end:
            files.truncate(fd, end)
        files.write_all(fd, _bytes(vectors), end)
        files.fdatasync(fd)
    finally:
        os.close(fd)


def write_compacted(path: Path, head: bytes, chunks: Iterator[NDArray[np.float16]]) -> None:
    """Write a whole segment at once, chunk by chunk."""

    def fill(sink: files.Sink) -> None:
        sink.put(head)
        for chunk in chunks:
            sink.put(_bytes(chunk))

    files.publish(path, fill)


def write_ids(path: Path, ids: NDArray[np.int64]) -> str:
    """Write the ids of a compacted segment; return their SHA-256."""
    return files.publish(path, lambda sink: sink.put(ids.astype("<i8").tobytes())).sha256


def checksums(vectors: NDArray[np.float16]) -> bytes:
    """What LMDB keeps of a chunk: XXH3-64 of all its bytes, quick to verify, then a CRC-32 of each row to name rows."""
    whole = xxhash.xxh3_64_digest(_bytes(vectors))
    return whole + b"".join(struct.pack("<I", zlib.crc32(_bytes(row))) for row in vectors)


def damaged_rows(vectors: NDArray[np.float16], told: bytes) -> list[int]:
    """Rows of a chunk that are not what was committed, counted from its start; empty when all is well."""
    view = np.ascontiguousarray(vectors)
    if xxhash.xxh3_64_digest(_bytes(view)) == told[:8]:
        return []
    crcs = np.frombuffer(told, "<u4", offset=8)
    return [r for r, row in enumerate(view) if zlib.crc32(_bytes(row)) != crcs[r]]


def row_is_whole(row: NDArray[np.float16], told: bytes, at: int) -> bool:
    """Whether a row is the one that was committed as the ``at``-th of its chunk."""
    return struct.pack("<I", zlib.crc32(_bytes(row))) == told[8 + 4 * at : 12 + 4 * at]


class SegmentReader:
    """A committed segment, memory-mapped.  Survives the unlinking of its file."""

    def __init__(self, folder: Path, segment: Segment, dim: int, head: bytes) -> None:
        self.path = folder / segment.name
        self.segment = segment
        self.dim = dim
        with files.reading(self.path), open(self.path, "rb", opener=files.plain) as file:
            self._check(file, head)
            mapped = np.memmap(file, np.float16, "r", offset=HEADER, shape=(segment.rows, dim))
        self.mapping: mmap.mmap = mapped._mmap  # type: ignore[attr-defined]
        # As a plain array: every small take from a memmap makes another memmap, which takes longer than the rows.
        self.rows: NDArray[np.float16] = np.asarray(mapped)
        self.ids = self._read_ids(folder)[: segment.rows] if segment.ids_sha256 else None
        # Rows that this process has compared with their checksums.
        self.checked: NDArray[np.bool_] = np.zeros(segment.rows, bool)

    def _check(self, file: BinaryIO, head: bytes) -> None:
        need = HEADER + self.segment.rows * self.dim * 2
        found, told = os.fstat(file.fileno()).st_size, file.read(HEADER)
        if found < need:
            whole = max(0, (found - HEADER) // (self.dim * 2))
            raise IndexCorrupt(
                f"{self.path}: cut off at {found:,} of {need:,} bytes; rows {whole:,} to "
                f"{self.segment.rows - 1:,} are lost. Embed just those again with: vsearch repair",
                tuple(range(self.segment.first_id + whole, self.segment.end_id)),
            )
        if told != head:
            raise IndexCorrupt(
                f"{self.path}: these are not the vectors of this index and encoder (its header differs); restore "
                f"a backup, or embed them again with: vsearch repair",
                tuple(range(self.segment.first_id, self.segment.end_id)),
            )

    def _read_ids(self, folder: Path) -> NDArray[np.int64]:
        path = folder / self.segment.ids_name
        with files.reading(path), open(path, "rb", opener=files.plain) as file:
            raw = file.read()
        if hashlib.sha256(raw).hexdigest() != self.segment.ids_sha256 or len(raw) < 8 * self.segment.rows:
            raise IndexCorrupt(
                f"{path}: the list of ids is damaged; embed its pictures again with: vsearch repair",
                tuple(range(self.segment.first_id, self.segment.end_id)),
            )
        return np.frombuffer(raw, "<i8", len(raw) // 8).astype(np.int64)

    def rows_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of each id; -1 for an id that this segment does not hold."""
        if self.ids is None:
            rows = ids - self.segment.first_id
            return np.where((rows >= 0) & (rows < self.segment.rows), rows, -1)
        at = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[at] == ids, at, -1)

    def ids_of(self, first: int, stop: int) -> NDArray[np.int64]:
        """Ids of rows [first, stop)."""
        if self.ids is None:
            return np.arange(first, stop, dtype=np.int64) + self.segment.first_id
        return self.ids[first:stop]

    def first_row_from(self, id: int) -> int:
        """The first row whose id is at least ``id``."""
        if self.ids is None:
            return min(max(0, id - self.segment.first_id), self.segment.rows)
        return int(np.searchsorted(self.ids, id))
