"""The table of contents of a tar file (POSIX pax, GNU and V7), which is spread over the whole of it.

Only headers are read.  ``tarfile`` stops without a word at the first damage; here the damage is told and the next
header is looked for, so that the members behind it are not lost.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO, BinaryIO, cast

from vsearch.members.entry import Entry, Fault, Member

BLOCK = tarfile.BLOCKSIZE
MOST_HEADER = 64 << 10  # of a name or of attributes; real ones have a few hundred bytes
MOST_SOUGHT = 256 << 20  # bytes that are searched for the next header after damage
MOST_DAMAGES = 100  # places
_PIECE = 1 << 20
_MAGIC, _MAGIC_AT = b"ustar", 257


def scan(file: BinaryIO, length: int) -> Iterator[Member | Fault]:
    """The regular files in a tar, and what cannot be read of it.  length: of the file, in bytes."""
    start, left, damages = 0, MOST_SOUGHT, 0
    while damages < MOST_DAMAGES:
        run = _Run(file, start, length)
        yield from run
        if run.end == length:
            yield Fault(b"", "it ends without an end mark: it may have been cut short")
            return
        if not _is_end(file, run.end):
            damages += 1
            yield Fault(
                b"", f"damaged or cut short at byte {run.end:,}; members that could be found behind it are kept"
            )
        # Behind an end mark there may be another tar, put there by cat.
        sought = max(run.end, start + BLOCK)
        stop = min(length, sought + left)
        found = _next_header(file, sought, stop)
        if found is None:
            if stop < length:
                yield Fault(
                    b"", f"the {MOST_SOUGHT >> 20} MiB behind that have no header; what comes later is left out"
                )
            return
        left -= found - sought
        start = found
    yield Fault(b"", f"it is damaged in {MOST_DAMAGES} places; what comes later is left out")


class _Run:
    """The members from one header on, up to the end mark or the first damage; ``end`` is where that is."""

    def __init__(self, file: BinaryIO, at: int, length: int) -> None:
        self._file, self._length, self.end = file, length, at

    def __iter__(self) -> Iterator[Member | Fault]:
        self._file.seek(self.end)
        try:
            headers = cast("IO[bytes]", _Headers(self._file))
            tar = tarfile.open(fileobj=headers, mode="r:", encoding="utf-8", errors="surrogateescape")
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps all that it has seen
                if member.size < 0 or member.offset < self.end or tar.offset < member.offset_data:
                    return  # a size below zero would lead back to where it was, for ever
                ends = member.offset_data + member.size if member.isreg() else 0
                past = ends > self._length or tar.offset >= self._length + BLOCK
                self.end = member.offset_data if past else tar.offset
                yield from self._told(member, past)
                if past:
                    return
        except Exception:  # noqa: BLE001 - whatever the parser trips over is damage; the caller tells where
            return

    def _told(self, member: tarfile.TarInfo, past: bool) -> Iterator[Member | Fault]:
        name = member.name.encode("utf-8", "surrogateescape")
        if past:
            yield Fault(name, f"the archive ends before this member of {member.size:,} bytes does")
        elif member.sparse is not None:
            yield Fault(name, "a sparse file; pack it with tar's option --no-sparse or without --sparse")
        elif member.isreg():
            yield Member(name, Entry(member.offset_data, member.size, member.size))
        elif member.issym() or member.islnk():
            yield Fault(name, "a link, which is not followed")
        elif not member.isdir():
            yield Fault(name, "a device or a pipe, not a file")


class _Headers:
    """What ``tarfile`` may see of a file: no read is larger than a header can be, whatever a header says."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell = file.seek, file.tell
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MOST_HEADER:
            raise tarfile.ReadError("a header that is too large")
        return self._file.read(size)


def _is_end(file: BinaryIO, at: int) -> bool:
    """Whether the block is the zeros that a tar ends with."""
    file.seek(at)
    return file.read(BLOCK) == bytes(BLOCK)


def _next_header(file: BinaryIO, at: int, stop: int) -> int | None:
    """Where the next header with a right checksum begins, from ``at`` on; None when there is none before ``stop``."""
    at -= at % BLOCK
    while at < stop:
        file.seek(at)
        piece = file.read(_PIECE)
        found = piece.find(_MAGIC)
        while found >= 0:
            start = found - _MAGIC_AT
            if start >= 0 and start % BLOCK == 0 and _is_header(piece[start : start + BLOCK]):
                return at + start
            found = piece.find(_MAGIC, found + 1)
        at += _PIECE
    return None


def _is_header(block: bytes) -> bool:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape").size >= 0
    except (tarfile.TarError, ValueError):
        return False
