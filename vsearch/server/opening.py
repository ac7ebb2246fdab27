"""Opening a picture's file for a client: beneath the folder it was indexed from, and through no link.

A link that was put in the place of a folder or a file since is not followed, whenever it is put there: each component
is opened from the folder before it with O_NOFOLLOW, and what was opened is what is read.
"""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from typing import NamedTuple

from vsearch.errors import SourceError
from vsearch.members.address import is_raw, split
from vsearch.members.entry import Entry, Part, Raw
from vsearch.members.lookup import part_of
from vsearch.members.reading import read
from vsearch.server.faults import Refused

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW


def open_beneath(path: bytes, roots: tuple[bytes, ...]) -> int:
    """A descriptor of the regular file at an absolute path.

    roots: folders with a slash at their end; a file beneath none of them was indexed by its own name, and its folder
    counts as one.  Raises Refused (404).
    """
    root = next((r for r in roots if path.startswith(r)), path[: path.rfind(b"/") + 1])
    parts = path[len(root) :].split(b"/")
    if not root.startswith(b"/") or any(part in (b"", b".", b"..") for part in parts):
        raise gone()
    try:
        fd = _walk(root, parts)
    except (OSError, ValueError):
        raise gone() from None
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise gone()


class Opened(NamedTuple):
    """An open file.  status: of the file on disk.  part: where in it the picture lies; None where it is all of it."""

    fd: int
    status: os.stat_result
    part: Part | None = None


def open_picture(path: bytes, roots: tuple[bytes, ...], max_bytes: int) -> Opened:
    """The file that a picture lies in.

    A member of a tar or zip is copied out of it into memory; rows are left to the decode room, whose workers may die.
    roots: as for ``open_beneath``.  max_bytes: members that are larger are refused.  Raises Refused (404).
    """
    pair = split(path)
    try:
        fd = open_beneath(path, roots)
    except Refused:
        if pair is None:
            raise
    else:
        return Opened(fd, os.fstat(fd), Raw() if is_raw(path) else None)
    fd = open_beneath(pair[0], roots)
    with ExitStack() as unless_kept:
        unless_kept.callback(os.close, fd)
        try:
            part = part_of(fd, *pair)
            if isinstance(part, Entry):
                if max(part.size, part.stored) > max_bytes:
                    raise gone()
                return Opened(in_memory(read(fd, part)), os.fstat(fd))
            unless_kept.pop_all()
            return Opened(fd, os.fstat(fd), part)
        except (SourceError, OSError):
            raise gone() from None


def in_memory(data: bytes) -> int:
    """A descriptor of a file that lies on no disk."""
    fd = os.memfd_create("vsearch-picture", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _walk(root: bytes, parts: list[bytes]) -> int:
    folder = os.open(root, _FOLDER)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(parts[-1], _FILE, dir_fd=folder)
    finally:
        os.close(folder)


def gone() -> Refused:
    """There is no such picture, or none that may be served; which of the two is not told."""
    return Refused(404, "NotFound", "there is no such picture, or its file is not there now")


def reopened(fd: int) -> bytes:
    """A path under which another process of this user can open the very file that a descriptor stands for."""
    return b"/proc/%d/fd/%d" % (os.getpid(), fd)
