"""Patches kept with an index, so that re-ranking reads no pictures.

One file for each kind of towers, among what can be made again from the pictures: a row for each content, in the order
of the contents' hashes, then the hashes, then a footer.

    row     scales, float32 x patches | codes, int8 x patches x width | CRC-32 of both
    hashes  16 bytes each, ascending
    footer  magic, count, patches, width, CRC-32 of the hashes and of the footer before it; little endian
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import IO, TYPE_CHECKING

import numpy as np

from vsearch import files
from vsearch.embed.patches import PatchEncoder
from vsearch.rerank.reranker import read_patches
from vsearch.rerank.tokens import Tokens
from vsearch.store import Store, publishing
from vsearch.types import Failure

if TYPE_CHECKING:
    from vsearch.store import Snapshot

HASH = 16
PART = 4096
_FOOTER = struct.Struct("<8sQII")
_CRC = struct.Struct("<I")
_MAGIC = b"vspatch1"
_PIECE = 1 << 22


class StoredPatches:
    """Patches by the content of the picture.  What is damaged counts as not stored."""

    def __init__(self, file: IO[bytes] | None) -> None:
        """file: None for none at all.  Raises ValueError when its table of contents is damaged."""
        self._file, self._hashes = file, b""
        self.count = self.patches = self.width = self._row = 0
        if file is None:
            return
        foot_at = file.seek(0, 2) - _FOOTER.size - _CRC.size
        foot = self._read(foot_at, _FOOTER.size)
        magic, self.count, self.patches, self.width = _FOOTER.unpack(foot)
        self._row = self.patches * (4 + self.width) + _CRC.size
        begin = self.count * self._row
        if magic != _MAGIC or begin + self.count * HASH != foot_at:
            raise ValueError("no file of patches")
        self._hashes = self._read(begin, self.count * HASH)
        if _CRC.pack(zlib.crc32(self._hashes + foot)) != self._read(foot_at + _FOOTER.size, _CRC.size):
            raise ValueError("the contents of a file of patches are damaged")

    def row(self, content: bytes) -> bytes | None:
        """The row of a content with its checksum; None when it is not there or damaged."""
        at = bisect_left(range(self.count), content, key=self._hash)
        if at == self.count or self._hash(at) != content:
            return None
        raw = self._read(at * self._row, self._row)
        return raw if zlib.crc32(raw[: -_CRC.size]) == _CRC.unpack(raw[-_CRC.size :])[0] else None

    def tokens(self, row: bytes) -> Tokens:
        """One picture's patches from its row."""
        scales = np.frombuffer(row, "<f4", self.patches)
        codes = np.frombuffer(row, np.int8, self.patches * self.width, scales.nbytes)
        return Tokens(codes.reshape(1, self.patches, self.width), scales[None])

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def _hash(self, at: int) -> bytes:
        return self._hashes[at * HASH : (at + 1) * HASH]

    def _read(self, at: int, length: int) -> bytes:
        assert self._file is not None
        self._file.seek(at)
        return self._file.read(length)


def known_patches(store: Store, towers: PatchEncoder, ids: Iterable[int]) -> dict[int, Tokens]:
    """Patches that these towers made of pictures of an index, of those that are stored and whole, by id."""
    with store.snapshot() as snapshot, closing(_opened(store, snapshot, towers)) as stored:
        records = {id: snapshot.record(id) for id in ids}
        found = {id: stored.row(record.content) for id, record in records.items() if record is not None}
        return {id: stored.tokens(row) for id, row in found.items() if row is not None}


def store_patches(
    store: Store, towers: PatchEncoder, on_done: Callable[[int, int], None] | None = None
) -> tuple[int, list[Failure]]:
    """Keep the patches of all pictures of an index: how many there are now, and the pictures that cannot be read.

    Those that are stored already are taken over.  on_done: is told how many are done, and of how many.
    Memory: 4,096 pictures' patches; disk: while it is written, the file twice.
    Raises EncoderError, DiskFull, IndexNotWritable.
    """
    with store.snapshot() as snapshot, closing(_opened(store, snapshot, towers)) as old:
        paths = {record.content: record.path for _, record in snapshot.items() if not record.missing}
        wanted = sorted(paths.items())
        read_at = snapshot.txn_id
        with tempfile.TemporaryFile(dir=store.layout.root) as file, files.storage_errors(store.layout.root):
            made = _Making(file)
            for at in range(0, len(wanted), PART):
                made.add(wanted[at : at + PART], old, towers)
                if on_done is not None:
                    on_done(min(at + PART, len(wanted)), len(wanted))
            made.end()

            def fill(sink: files.Sink) -> None:
                file.seek(0)
                while piece := file.read(_PIECE):
                    sink.put(piece)

            publishing.publish(store, _kind(towers), fill, read_at)
    return len(made.hashes), made.failures


def drop_patches(store: Store, towers: PatchEncoder) -> None:
    """Forget what ``store_patches`` kept.  Raises DiskFull, IndexNotWritable."""
    publishing.drop(store, _kind(towers))


class _Making:
    """A file of patches that grows."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._shape = file, (0, 0)
        self.hashes: list[bytes] = []
        self.failures: list[Failure] = []

    def add(self, wanted: list[tuple[bytes, bytes]], old: StoredPatches, towers: PatchEncoder) -> None:
        """Add hashes with the paths of their pictures, ascending: from the file before, or read."""
        rows = {content: row for content, _ in wanted if (row := old.row(content)) is not None}
        if rows:
            self._shape = old.patches, old.width
        missing = {path: content for content, path in wanted if content not in rows}
        tokens, failures = read_patches(list(missing), towers)
        lost = {failure.path for failure in failures}
        for n, path in enumerate(path for path in missing if path not in lost):
            raw = tokens.scales[n].astype("<f4").tobytes() + tokens.codes[n].tobytes()
            rows[missing[path]] = raw + _CRC.pack(zlib.crc32(raw))
            self._shape = tokens.codes.shape[1], tokens.codes.shape[2]
        for content in sorted(rows):
            self._file.write(rows[content])
        self.hashes += sorted(rows)
        self.failures += failures

    def end(self) -> None:
        """Write the hashes and the footer."""
        hashes, foot = b"".join(self.hashes), _FOOTER.pack(_MAGIC, len(self.hashes), *self._shape)
        self._file.write(hashes + foot + _CRC.pack(zlib.crc32(hashes + foot)))


def _opened(store: Store, snapshot: Snapshot, towers: PatchEncoder) -> StoredPatches:
    """What is stored now; nothing where there is no file, or a damaged one."""
    named = snapshot.derived(_kind(towers))
    if named is None:
        return StoredPatches(None)
    try:
        file = (store.layout.derived(snapshot.space.name) / named.name).open("rb")
    except OSError:
        return StoredPatches(None)
    try:
        return StoredPatches(file)
    except (OSError, ValueError, struct.error):
        file.close()
        return StoredPatches(None)


def _kind(towers: PatchEncoder) -> str:
    return f"patches-{towers.digest[:32]}"
