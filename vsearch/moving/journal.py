"""The journal of moved pictures: one line of JSON for each move, durable before the move is made.

A line counts when it ends in a newline and can be read.  What is behind the last newline was cut off while it was
written, so its move was never made; so was a last line with zeros in it, where a power cut took a part from the middle.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from vsearch import files
from vsearch.errors import SourceError
from vsearch.moving.content import digest

PREFIX, SUFFIX = "vsearch-moved-", ".jsonl"


@dataclass(frozen=True, slots=True)
class Move:
    """A move that was intended: the path of a file, the one it was to get, and by what the file is known again.

    inode: its number on its disk.  content: the XXH3-128 of its bytes; empty in the journals of early versions.
    """

    source: bytes
    target: bytes
    inode: int = 0
    content: bytes = b""

    def is_of(self, path: bytes, status: os.stat_result) -> bool:
        """Whether a file is the one to be moved: by its inode, or by its bytes where inodes change.  Raises OSError."""
        return not self.content or status.st_ino == self.inode or digest(path) == self.content


@dataclass(frozen=True, slots=True)
class Lines:
    """What can be read of a journal: its moves in order, and the numbers, from 1, of lines that are damaged."""

    moves: tuple[Move, ...]
    damaged: tuple[int, ...]

    def last_of_each(self) -> list[Move]:
        """The last move of each file: one with another after it was not made, since its target had been taken."""
        return list({move.source: move for move in self.moves}.values())


class Journal:
    """A new journal in a folder, to be written.  Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{PREFIX}{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}{SUFFIX}"
        self._fd = files.create(self.path)
        self._length = 0
        try:
            files.fsync_dir(folder)
        except OSError:
            self.close()
            files.discard(self.path)
            raise

    def note(self, move: Move) -> None:
        """Write a line for a move, durable when this returns.  Raises OSError; no part of the line stays then."""
        try:
            length = files.write_all(self._fd, _line(move), self._length)
            files.fsync(self._fd)
        except OSError:
            with suppress(OSError):
                files.truncate(self._fd, self._length)
            raise
        self._length = length

    def close(self) -> None:
        """No more lines."""
        os.close(self._fd)


def read(path: Path) -> Lines:
    """Read a journal.  Raises SourceError when no whole line in it is one of a journal, unless it is empty."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{os.fspath(path)!r} is no journal of moved pictures: {error.strerror}") from error
    *whole, _ = content.split(b"\n")
    if whole and b"\0" in whole[-1]:
        whole.pop()
    lines = dict(enumerate(map(_move, whole), 1))
    moves = tuple(move for move in lines.values() if move is not None)
    if content and not moves:
        raise SourceError(
            f"{os.fspath(path)!r} is no journal of moved pictures: no whole line of it names a move. (A run that was "
            f"stopped in its first line moved nothing.)"
        )
    return Lines(moves, tuple(number for number, move in lines.items() if move is None))


def moves_in(folder: Path) -> Iterator[Move]:
    """All moves that the journals in a folder name, as far as these can be read."""
    for path in sorted(folder.glob(f"{PREFIX}*{SUFFIX}")):
        with suppress(SourceError):
            yield from read(path).moves


class _Raw(msgspec.Struct):
    """A path that is not UTF-8; in base64 as JSON."""

    base64: bytes


class _Line(msgspec.Struct, rename={"source": "from", "target": "to"}):
    """A line of a journal."""

    source: str | _Raw
    target: str | _Raw
    inode: int = 0
    xxh3: str = ""


def _line(move: Move) -> bytes:
    told = _Line(_encoded(move.source), _encoded(move.target), move.inode, move.content.hex())
    return msgspec.json.encode(told) + b"\n"


def _move(line: bytes) -> Move | None:
    try:
        told = msgspec.json.decode(line, type=_Line)
        move = Move(_decoded(told.source), _decoded(told.target), told.inode, bytes.fromhex(told.xxh3))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return move if all(path and b"\0" not in path for path in (move.source, move.target)) else None


def _encoded(path: bytes) -> str | _Raw:
    try:
        return path.decode("utf-8")
    except UnicodeDecodeError:
        return _Raw(path)


def _decoded(path: str | _Raw) -> bytes:
    return path.encode("utf-8") if isinstance(path, str) else path.base64
