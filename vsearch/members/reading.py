"""The bytes of one member, from an open archive."""

from __future__ import annotations

import os
import zlib

from vsearch.errors import SourceError
from vsearch.members.entry import Entry, Moment, Part, Raw

_HEADER = 30
_SIGNATURE = b"PK\x03\x04"


def read(fd: int, part: Part) -> bytes:
    """A picture's bytes as those of a file of its own.  Raises SourceError when the archive is damaged, OSError.

    fd: open for reading; its position is not used.  A row is read faster when the one before it was the last.
    """
    if isinstance(part, Entry):
        return _member(fd, part)
    from vsearch.members import frames, raw, rows

    if isinstance(part, Raw):
        return raw.read(fd)
    return frames.read(fd, part.seconds) if isinstance(part, Moment) else rows.read(fd, part)


def _member(fd: int, entry: Entry) -> bytes:
    """A whole member, unpacked; never more than its size."""
    at = _behind_header(fd, entry.at) if entry.headed else entry.at
    raw = _exactly(fd, entry.stored, at)
    data = _inflated(raw, entry.size) if entry.deflated else raw
    if len(data) != entry.size:
        raise SourceError("its length is not what the archive says")
    if entry.crc is not None and zlib.crc32(data) != entry.crc:
        raise SourceError("its bytes are not those that were packed (CRC-32)")
    return data


def _behind_header(fd: int, at: int) -> int:
    """Where the bytes behind a zip's local header begin; it repeats the name, and may have other extra fields."""
    header = _exactly(fd, _HEADER, at)
    if not header.startswith(_SIGNATURE):
        raise SourceError("the archive's table of contents points to something else")
    return at + _HEADER + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")


def _exactly(fd: int, count: int, at: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = os.pread(fd, count, at)
        if not part:
            raise SourceError("the archive ends before this member does")
        parts.append(part)
        count -= len(part)
        at += len(part)
    return b"".join(parts) if len(parts) != 1 else parts[0]


def _inflated(raw: bytes, size: int) -> bytes:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return unpacker.decompress(raw, size + 1)  # one more tells that there is more
    except zlib.error as error:
        raise SourceError("its packed bytes are damaged") from error
