"""The one room that writes: every call by which the store changes a file goes through here.

That makes it possible to put a fault behind each of them, and to read in one place what is promised:
data is written in full, made durable, and only then named.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from vsearch.errors import DiskFull, IndexLocked, IndexNotWritable

TEMPORARY = ".tmp-"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Published:
    """What was written under a final name: bytes and SHA-256 (hex) of the content."""

    length: int
    sha256: str


def write_all(fd: int, data: bytes | memoryview, offset: int) -> int:
    """Write all of ``data`` at ``offset``; return the offset behind it.

    The kernel may take less than it is given (a signal, a nearly full disk), so this goes on until it has all.
    """
    view = memoryview(data).cast("B")
    while view:
        written = os.pwrite(fd, view, offset)
        if written == 0:
            raise OSError(errno.EIO, "the disk takes no more bytes")
        view = view[written:]
        offset += written
    return offset


def fsync(fd: int) -> None:
    """Make content and size durable.  An error here is final: a second fsync would report success falsely."""
    os.fsync(fd)


def fdatasync(fd: int) -> None:
    """Make content durable, and the size where it grew."""
    os.fdatasync(fd)


def fsync_dir(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fsync(fd)
    finally:
        os.close(fd)


def fsync_file(path: Path) -> None:
    """Make a file that another library wrote durable."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fsync(fd)
    finally:
        os.close(fd)


def make_dir(path: Path) -> None:
    """Make a directory that only its owner can enter, and make its name durable."""
    os.mkdir(path, 0o700)
    fsync_dir(path.parent)


def rename(old: Path, new: Path) -> None:
    """Give a durable file its final name, and make the name durable."""
    os.rename(old, new)
    fsync_dir(new.parent)


def unlink(path: Path) -> None:
    """Remove a file or folder of ours that nothing names any more; it may be gone already."""
    with suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            os.unlink(path)


def discard(path: Path) -> None:
    """Remove what a failed operation leaves behind; if that fails too, the next writer will."""
    with suppress(OSError):
        unlink(path)


def create(path: Path) -> int:
    """Open a new file for reading and writing; it must not exist."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def truncate(fd: int, length: int) -> None:
    """Cut a file to ``length`` bytes."""
    os.ftruncate(fd, length)


def open_for_append(path: Path) -> int:
    """Open a published file of ours for more rows."""
    return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)


class Sink:
    """A file being written from the start: counts and hashes what it is given."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._hash = hashlib.sha256()
        self.length = 0

    def put(self, data: bytes | memoryview) -> None:
        """Write all of ``data``."""
        self.length = write_all(self._fd, data, self.length)
        self._hash.update(data)

    def published(self) -> Published:
        """Length and hash so far."""
        return Published(self.length, self._hash.hexdigest())


def publish(path: Path, fill: Callable[[Sink], None]) -> Published:
    """Write a file so that its name is only ever seen with its whole content behind it.

    ``path`` must never have been used before: a name that repeats lets an older record point at newer bytes.
    """
    temporary = path.with_name(TEMPORARY + uuid.uuid4().hex)
    fd = create(temporary)
    try:
        try:
            sink = Sink(fd)
            fill(sink)
            fsync(fd)
        finally:
            os.close(fd)
        rename(temporary, path)
    except BaseException:
        discard(temporary)
        raise
    return sink.published()


def copy(old: Path, new: Path, length: int | None = None) -> None:
    """Copy a file's bytes (the first ``length`` of them) to a new name, durable when this returns."""
    with open(old, "rb") as source:

        def fill(sink: Sink) -> None:
            while block := source.read(1 << 20 if length is None else min(1 << 20, length - sink.length)):
                sink.put(block)

        publish(new, fill)


def link_or_copy(old: Path, new: Path) -> None:
    """A second name for the same bytes; a copy where the disk has no hard links.  For files never written again."""
    try:
        os.link(old, new)
    except FileNotFoundError:
        raise
    except OSError:
        copy(old, new)
    else:
        fsync_dir(new.parent)


def sha256_of(path: Path) -> Published:
    """Length and SHA-256 of a file as it is now (about 1.7 GB/s)."""
    with open(path, "rb") as file:
        return Published(os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())


class WriterLock:
    """The right to write: an flock on our own file, which the kernel gives back when its holder dies.

    The file holds the holder's process id while it writes, and after an orderly end a note from which the next one
    sees whether it must look for damage first.  ``found``: what was in it.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._pid = os.getpid()
        try:
            self.found = self._take(path)
        except BaseException:
            os.close(self._fd)
            raise

    def _take(self, path: Path) -> bytes:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            told = os.pread(self._fd, 64, 0).strip()
            pid = int(told) if told.isdigit() else None
            who = f"process {pid}" if pid else "another process"
            raise IndexLocked(
                f"{path.parent}: {who} is writing to this index; wait until it is done, or stop it "
                f"(searching is possible meanwhile)",
                pid,
            ) from None
        found = os.pread(self._fd, 64, 0)
        self._tell(b"%d\n" % os.getpid())
        return found

    def _tell(self, text: bytes) -> None:
        truncate(self._fd, 0)
        write_all(self._fd, text, 0)

    def release(self, note: bytes = b"") -> None:
        """Let the next writer in.  A note is left only after an orderly end, and not by a fork of the holder."""
        try:
            if note and self._pid == os.getpid():
                with suppress(OSError):
                    self._tell(note)
        finally:
            os.close(self._fd)


@contextmanager
def storage_errors(place: Path) -> Iterator[None]:
    """Turn what the operating system says of a failed write into what a user can act on."""
    try:
        yield
    except OSError as error:
        raise translated(error, place) from error


def translated(error: OSError, place: Path) -> IndexNotWritable:
    """The error of ours for a failed write at ``place``."""
    said = str(error)
    if error.errno in _FULL or any(os.strerror(code) in said for code in _FULL) or is_full(place):
        return DiskFull(
            f"{place}: the disk is full ({error.strerror or error}); everything committed before is intact. "
            f"Free some space, then run the same command again"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return IndexNotWritable(
            f"{place}: cannot be written ({error.strerror}); searching works, changing does not. "
            f"Check the permissions, or copy the index to a place of your own"
        )
    return IndexNotWritable(
        f"{place}: writing failed ({error.strerror or error}); everything committed before is intact. "
        f"Check the disk, its free space and your quota, then run the same command again"
    )


def free_bytes(place: Path) -> int:
    """Bytes that may still be written on the disk of a folder."""
    told = os.statvfs(place)
    return told.f_bavail * told.f_frsize


def is_full(place: Path) -> bool:
    """Whether the disk under ``place`` has next to nothing left (LMDB reports a full disk as an I/O error)."""
    try:
        return free_bytes(place if place.exists() else place.parent) < 1 << 16
    except OSError:
        return False
