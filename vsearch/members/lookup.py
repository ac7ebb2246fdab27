"""Tables of contents of archives, kept in memory while they are in use."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import BinaryIO

from vsearch.errors import SourceError
from vsearch.members.address import is_moving, is_raw, kind_of, resolve, seconds_of
from vsearch.members.entry import Contents, Entry, Fault, Member, Moment, Part, Raw, Stamp, stamp_of
from vsearch.members.names import checked, unique
from vsearch.members.reading import read

KEPT = 400_000  # members, of about 300 bytes each; the tables of contents of a dozen shards

Scan = Callable[[BinaryIO, int], Iterator[Member | Fault]]


class _Shelf:
    """The tables of contents used last.  Two threads that want one at once read it once."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._slots: OrderedDict[tuple[Stamp, str], _Slot] = OrderedDict()

    def get(self, fd: int, kind: str) -> Contents:
        key = (stamp_of(os.fstat(fd)), kind)
        with self._guard:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
        with slot.guard:
            if slot.contents is None:
                slot.contents = _read(fd, *key)
                self._make_room()
            return slot.contents

    def _make_room(self) -> None:
        """Drop what was used longest ago, but never the last."""
        with self._guard:
            held = sum(len(slot.contents.entries) for slot in self._slots.values() if slot.contents)
            while held > KEPT and len(self._slots) > 1:
                _, slot = self._slots.popitem(last=False)
                held -= len(slot.contents.entries) if slot.contents else 0


class _Slot:
    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.contents: Contents | None = None


_shelf = _Shelf()


def _read(fd: int, stamp: Stamp, kind: str) -> Contents:
    with open(os.dup(fd), "rb") as file:
        members, faults = unique(checked(_scanner(kind)(file, stamp.size)))
    said = {name: one[2:] for name, one in members.items() if any(one[2:])}
    return Contents(stamp, {name: one.part for name, one in members.items()}, faults, said)


def _scanner(kind: str) -> Scan:
    from importlib import import_module

    scan: Scan = import_module(f"vsearch.members.{kind}").scan
    return scan


def open_archive(path: bytes) -> int:
    """A descriptor of an archive.  Never waits.  Raises OSError."""
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)


def contents(fd: int, path: bytes) -> Contents:
    """The table of contents of an open archive.  path: its name, which tells its kind.

    Raises SourceError when it cannot be read, OSError.
    """
    kind = kind_of(path)
    assert kind is not None
    return _shelf.get(fd, kind)


def part_of(fd: int, archive: bytes, name: bytes) -> Part:
    """One member of an open archive.  Raises SourceError when there is none of that name."""
    if is_moving(archive):
        seconds = seconds_of(name)
        part: Part | None = None if seconds is None else Moment(seconds)
    else:
        part = contents(fd, archive).entries.get(name)
    if part is None:
        raise SourceError(f"there is no such member in {os.fsdecode(os.path.basename(archive))!r}")
    return part


def locate(path: bytes) -> tuple[bytes, Part | None]:
    """The file to open for a picture, and which part of it is the picture; None where that is all of it.

    Raises SourceError when an archive cannot be read or has no such member.
    """
    found = resolve(path)
    if found is None:
        return path, Raw() if is_raw(path) else None
    try:
        fd = open_archive(found[0])
    except OSError as error:
        raise SourceError(f"its archive cannot be opened: {error.strerror}") from error
    try:
        return found[0], part_of(fd, *found)
    except OSError as error:
        raise SourceError(f"its archive cannot be read: {error.strerror}") from error
    finally:
        os.close(fd)


def bytes_of(path: bytes) -> bytes:
    """All bytes of a picture in a file of its own, or in a tar or zip.  Raises SourceError, OSError.

    Rows and frames are read in the decode room only, where a hostile file does no harm.
    """
    file, part = locate(path)
    if part is not None and not isinstance(part, Entry):
        raise SourceError("not a file, nor a member of a tar or zip")
    fd = open_archive(file)
    with open(fd, "rb") as stream:
        return stream.read() if part is None else read(fd, part)
