"""The central directory of a zip archive (PKWARE APPNOTE 4.3.12 to 4.3.16), entry by entry.

``zipfile`` refuses an archive for one entry whose name is not the UTF-8 that it claims, or whose extra fields are cut;
here that entry is told, and the others are read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from vsearch.errors import SourceError

_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_END64 = struct.Struct("<4sQ2H2L4Q")
_END64_SIGNATURE = b"PK\x06\x06"
_LOCATOR = struct.Struct("<4sLQL")
_LOCATOR_SIGNATURE = b"PK\x06\x07"
_ENTRY = struct.Struct("<4s6H3L5H2L")
_ENTRY_SIGNATURE = b"PK\x01\x02"
_EXTRA = struct.Struct("<2H")
_ZIP64 = 1
_IN_EXTRA = 0xFFFFFFFF  # in place of a number that has no room in 32 bits
_MOST_COMMENT = 0xFFFF
_CUT_SHORT = (
    "not a zip archive, or cut short: its table of contents, at its end, cannot be read. Fetch it again, or: zip -FF"
)


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry.  at: where its local header begins; stored, size: bytes packed and unpacked.

    problem: why these numbers cannot be known; None when they can.
    """

    name: bytes
    flags: int
    method: int
    crc: int
    stored: int
    size: int
    at: int
    attributes: int
    problem: str | None = None


def listed(file: BinaryIO, length: int) -> Iterator[Listed]:
    """The entries in the order of the directory.  length: of the file, in bytes.

    Raises SourceError for a file without a directory; behind the entries before it, for a damaged place.
    """
    start, size, shift = _place(file, length)
    file.seek(start)
    read = 0
    while read < size:
        head = file.read(_ENTRY.size)
        if len(head) < _ENTRY.size or not head.startswith(_ENTRY_SIGNATURE):
            raise SourceError(
                f"its table of contents is damaged at byte {start + read:,}; what it lists later is left out"
            )
        lengths = _ENTRY.unpack(head)[10:13]
        name, extra, comment = (file.read(count) for count in lengths)
        read += _ENTRY.size + sum(lengths)
        yield _entry(head, name, extra, shift)


def _place(file: BinaryIO, length: int) -> tuple[int, int, int]:
    """Where the directory begins, its bytes, and by how much offsets are to be shifted: by what was put before it."""
    end, fields = _end(file, length)
    size, offset = fields[5:7]
    file.seek(max(0, end - _LOCATOR.size))
    if file.read(_LOCATOR.size).startswith(_LOCATOR_SIGNATURE) and end >= _LOCATOR.size + _END64.size:
        before = end - _LOCATOR.size - _END64.size
        file.seek(before)
        raw = file.read(_END64.size)
        if raw.startswith(_END64_SIGNATURE):
            end, (size, offset) = before, _END64.unpack(raw)[8:10]
    if size > end:
        raise SourceError(_CUT_SHORT)
    return end - size, size, end - size - offset


def _end(file: BinaryIO, length: int) -> tuple[int, tuple[int, ...]]:
    """The end record, the last one with room for its comment: where it is, and its fields."""
    start = max(0, length - _END.size - _MOST_COMMENT)
    file.seek(start)
    tail = file.read(length - start)
    at = tail.rfind(_END_SIGNATURE)
    while at >= 0:
        if at + _END.size <= len(tail):
            fields = _END.unpack_from(tail, at)
            if at + _END.size + fields[7] <= len(tail):
                return start + at, fields
        at = tail.rfind(_END_SIGNATURE, 0, at)
    raise SourceError(_CUT_SHORT)


def _entry(head: bytes, name: bytes, extra: bytes, shift: int) -> Listed:
    fields = _ENTRY.unpack(head)
    flags, method, crc = fields[3], fields[4], fields[7]
    stored, size, at = fields[8], fields[9], fields[16]
    problem = None
    if _IN_EXTRA in (stored, size, at):
        large = iter(_zip64(extra))
        # In this order, and only those that have no room before.
        size, stored, at = (next(large, None) if number == _IN_EXTRA else number for number in (size, stored, at))
        if size is None or stored is None or at is None:
            problem = "its size or place is missing in the archive's table of contents"
            size, stored, at = size or 0, stored or 0, at or 0
    return Listed(name, flags, method, crc, stored, size, at + shift, fields[15], problem)


def _zip64(extra: bytes) -> tuple[int, ...]:
    """The numbers of 64 bits in the extra fields of an entry."""
    at = 0
    while at + _EXTRA.size <= len(extra):
        kind, length = _EXTRA.unpack_from(extra, at)
        at += _EXTRA.size
        if kind == _ZIP64:
            whole = min(length, len(extra) - at) // 8
            return struct.unpack_from(f"<{whole}Q", extra, at)
        at += length
    return ()
