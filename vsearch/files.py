"""The one room that writes: every call by which the store changes a file goes through here.

That makes it possible to put a fault behind each of them, and to read in one place what is promised:
data is written in full, made durable, and only then named.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from vsearch.errors import DiskFull, IndexLocked, IndexNotReadable, IndexNotWritable

TEMPORARY = ".tmp-"
_LEFTOVER = re.compile(re.escape(TEMPORARY) + "[0-9a-f]{32}")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_TRIES, _PROBE_SECONDS = 5, 0.004
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_AT_FDCWD, _RENAME_NOREPLACE = -100, 1
_RENAMEAT2 = {"x86_64": 316, "aarch64": 276, "riscv64": 276, "loongarch64": 276, "ppc64le": 357, "s390x": 347}
_NOT_SUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY)


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


def open_folder(root: str | bytes | Path, *inside: str | bytes) -> int:
    """A descriptor of a folder below ``root``, each step taken from the folder before and through no link.

    ``root`` itself may be a link.  Raises OSError (ELOOP or ENOTDIR for a link).
    """
    folder = os.open(root, _FOLDER)
    for name in inside:
        try:
            inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
        finally:
            os.close(folder)
        folder = inner
    return folder


def plain(path: str, flags: int) -> int:
    """An ``opener`` for ``open``: the last part of the path must not be a link, and a pipe is not waited for."""
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, 0o600)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the refusal to let a file of an index be read into an IndexNotReadable."""
    try:
        yield
    except PermissionError as error:
        raise IndexNotReadable(
            f"{path}: cannot be read ({error.strerror}); ask the owner of the index for the right to read it"
        ) from error


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


def rename_new(old: Path, new: Path) -> None:
    """Give a file another name, which must be free, in any folder of its file system; durable when this returns.

    Nothing is ever overwritten: looking and renaming are one step of the kernel (RENAME_NOREPLACE of renameat2(2)).
    Where a file system lacks that, as some of networks and FUSE do, the file gets its new name as a hard link and then
    loses the old one; a kill between the two leaves it with both names.
    Raises FileExistsError for a name that is taken, and OSError.  After an error the file has the old name, or the
    new one where only fsync failed, or both.
    """
    try:
        _renameat2(old, new, _RENAME_NOREPLACE)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        _link_then_unlink(old, new)
    else:
        fsync_dir(new.parent)  # First: until the new name is durable, the old one may be all that a power cut leaves.
    fsync_dir(old.parent)


def _renameat2(old: Path, new: Path, flags: int) -> None:
    """The system call, which Python lacks.  Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    paths = (_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new))
    if hasattr(libc, "renameat2"):
        failed = libc.renameat2(*paths, flags)
    elif os.uname().machine in _RENAMEAT2 and sys.maxsize > 1 << 32:
        failed = libc.syscall(ctypes.c_long(_RENAMEAT2[os.uname().machine]), *paths, flags)
    else:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if failed:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fspath(old), None, os.fspath(new))


def _link_then_unlink(old: Path, new: Path) -> None:
    try:
        os.link(old, new, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (*_NOT_SUPPORTED, errno.EPERM, errno.EMLINK):
            raise
        raise OSError(error.errno, "its file system can neither rename without overwriting nor make links") from error
    fsync_dir(new.parent)
    try:
        os.unlink(old)
    except OSError as error:
        # Only a refusal is certain to have left the old name; after any other error the new one may be the last.
        if error.errno in _REFUSED:
            discard(new)
        raise


def scratch_beside(path: Path) -> Path:
    """A name that nobody uses, on the same disk, for what gets its final name when it is whole."""
    return path.with_name(f".{path.name}.new-{uuid.uuid4().hex}")


def unlink(path: Path) -> None:
    """Remove a file or folder of ours that nothing names any more; it may be gone already."""
    with suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            os.unlink(path)


def remove_from(folder: int, name: str) -> None:
    """Remove a file, or a folder with all in it, from an open folder; of a link the link alone.  Raises OSError."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            shutil.rmtree(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)


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
    temporary, fd = _temporary_beside(path)
    try:
        sink = Sink(fd)
        fill(sink)
        fsync(fd)
        rename(temporary, path)  # before the lock goes with the descriptor
    except BaseException:
        discard(temporary)
        raise
    finally:
        os.close(fd)
    return sink.published()


def _temporary_beside(path: Path) -> tuple[Path, int]:
    """A new file that is locked for as long as it is open, so that others see that somebody is at work on it."""
    while True:
        temporary = path.with_name(TEMPORARY + uuid.uuid4().hex)
        fd = create(temporary)
        with suppress(OSError):  # a disk without locks
            fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return temporary, fd
        os.close(fd)  # ``remove_leftovers`` came between the file and its lock


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of ``publish`` whose maker was killed.  What somebody is at work on stays.

    On a disk without locks nothing is removed.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _LEFTOVER.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _remove_unlocked(Path(entry.path))


def _remove_unlocked(path: Path) -> None:
    fd = plain(os.fspath(path), os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    finally:
        os.close(fd)


def copy(old: Path, new: Path, length: int | None = None) -> None:
    """Copy a file's bytes (the first ``length`` of them) to a new name, durable when this returns."""
    with open(old, "rb", opener=plain) as source:

        def fill(sink: Sink) -> None:
            while block := source.read(1 << 20 if length is None else min(1 << 20, length - sink.length)):
                sink.put(block)

        publish(new, fill)


def link_or_copy(old: Path, new: Path) -> None:
    """A second name for the same bytes; a copy where the disk has no hard links.  For files never written again."""
    try:
        os.link(old, new, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:
        copy(old, new)
    else:
        fsync_dir(new.parent)


def sha256_of(path: Path) -> Published:
    """Length and SHA-256 of a file as it is now (about 1.7 GB/s)."""
    with open(path, "rb", opener=plain) as file:
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
            self._lock()
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

    def _lock(self) -> None:
        for _ in range(_TRIES):
            with suppress(BlockingIOError):
                return fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            time.sleep(_PROBE_SECONDS)  # a reader that probes the lock has it for an instant
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

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
def alone_in(folder: Path) -> Iterator[None]:
    """Let only one process at a time through, of those that make something in a folder: the others wait.

    On a disk without locks all go at once.
    """
    fd = os.open(folder, _FOLDER)
    try:
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock of this file; whatever the file says of it, and whichever process it names."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # a disk without locks
    finally:
        os.close(fd)
    return False


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
    if error.errno == errno.ENOENT and not place.parent.exists():
        return IndexNotWritable(f"{place}: its folder is not there; make it: mkdir -p {place.parent}")
    if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
        return IndexNotWritable(f"{place}: another process has put something there meanwhile; run the command again")
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
