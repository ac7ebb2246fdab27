"""Move pictures into a folder that the user names, and back.  The only code that touches folders of pictures.

A move is a rename on the same disk, never a copy; what is there is never overwritten; and before each move a line in a
journal says what is about to happen, so that all of it can be undone.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import xxhash

from vsearch import files
from vsearch.errors import SourceError
from vsearch.members.address import resolve

JOURNAL = "vsearch-moved-"
_TRIES = 10_000


@dataclass(frozen=True, slots=True)
class Expected:
    """A file as it must still be: its path and the XXH3-128 of its bytes."""

    path: bytes
    content: bytes

    def problem(self) -> str | None:
        """Why it is not as expected, in words."""
        if resolve(self.path) is not None:
            return "it is inside an archive"
        try:
            told = os.lstat(self.path)
            if not stat.S_ISREG(told.st_mode):
                return "it is no regular file"
            with open(self.path, "rb") as file:
                digest = xxhash.xxh3_128()
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            return f"it cannot be read ({error.strerror})"
        return None if digest.digest() == self.content else "it has changed since it was indexed"


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of one file.  to: where it is now, None when it was left where it was; then ``why`` says why."""

    path: bytes
    to: bytes | None
    why: str = ""


class Mover:
    """Moves files into one folder and keeps the journal of it.  A context manager.

    Raises SourceError when the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = os.fsencode(os.path.abspath(folder))
        name = f"{JOURNAL}{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}.jsonl"
        self.journal = Path(os.fsdecode(self.folder)) / name
        try:
            if not os.path.isdir(self.folder):
                files.make_dir(Path(os.fsdecode(self.folder)))
            self._fd = files.create(self.journal)
            files.fsync_dir(self.journal.parent)
        except OSError as error:
            raise SourceError(
                f"pictures cannot be moved to {os.fsdecode(self.folder)!r}: {error.strerror}; name a folder that you "
                f"may write, whose parent is there"
            ) from error
        self._length = 0

    def __enter__(self) -> Mover:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)

    def move(self, source: Expected, kept: Expected) -> Moved:
        """Move a file, if it and the one that is kept instead are both still what they were."""
        told = kept.problem()
        if told:
            return Moved(source.path, None, f"the picture to keep, {os.fsdecode(kept.path)!r}: {told}")
        if told := source.problem():
            return Moved(source.path, None, told)
        try:
            target = _reserve(self.folder, os.path.basename(source.path))
        except OSError as error:
            return Moved(source.path, None, f"no place for it in the folder ({error.strerror})")
        try:
            self._note(source.path, target)
            _rename(source.path, target)
        except OSError as error:
            files.discard(Path(os.fsdecode(target)))
            return Moved(source.path, None, f"it cannot be moved ({error.strerror})")
        return Moved(source.path, target)

    def _note(self, source: bytes, target: bytes) -> None:
        line = json.dumps({"from": _encoded(source), "to": _encoded(target)}) + "\n"
        self._length = files.write_all(self._fd, line.encode(), self._length)
        files.fsync(self._fd)


def undo(journal: Path) -> list[Moved]:
    """Move back what a journal says was moved, the last first.  Nothing is overwritten.

    Raises SourceError when the journal cannot be read.
    """
    try:
        lines = journal.read_text(encoding="ascii").splitlines()
        moves = [(_decoded(told["from"]), _decoded(told["to"])) for told in map(json.loads, lines)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"{os.fspath(journal)!r} is no journal of moved pictures that can be read: {error}"
        ) from error
    return list(_back(reversed(moves)))


def _back(moves: Iterable[tuple[bytes, bytes]]) -> Iterator[Moved]:
    for source, target in moves:
        if not os.path.lexists(target):
            if not os.path.lexists(source):
                yield Moved(target, None, "it is gone from there")
            continue  # It was never moved, or was moved back before.
        try:
            os.close(files.create(Path(os.fsdecode(source))))
        except OSError as error:
            yield Moved(target, None, f"{os.fsdecode(source)!r}: {error.strerror}")
            continue
        try:
            _rename(target, source)
        except OSError as error:
            files.discard(Path(os.fsdecode(source)))
            yield Moved(target, None, f"it cannot be moved ({error.strerror})")
        else:
            yield Moved(target, source)


def _reserve(folder: bytes, name: bytes) -> bytes:
    """Make an empty file of a name that was free, as near to ``name`` as can be.  Raises OSError."""
    stem, ending = os.path.splitext(name)
    for number in range(1, _TRIES):
        path = os.path.join(folder, name if number == 1 else b"%s-%d%s" % (stem, number, ending))
        try:
            os.close(files.create(Path(os.fsdecode(path))))
        except FileExistsError:
            continue
        return path
    raise FileExistsError(0, "too many files of that name")


def _rename(old: bytes, new: bytes) -> None:
    """Put a file in the place of the empty one that was made for it."""
    files.rename(Path(os.fsdecode(old)), Path(os.fsdecode(new)))
    files.fsync_dir(Path(os.fsdecode(os.path.dirname(old))))


def _encoded(path: bytes) -> str | dict[str, str]:
    try:
        return path.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(path).decode("ascii")}


def _decoded(told: str | dict[str, str]) -> bytes:
    return told.encode("utf-8") if isinstance(told, str) else base64.b64decode(told["base64"], validate=True)
