"""Reading a file that may be anything."""

from __future__ import annotations

import errno
import os
import stat

import xxhash

from vsearch.bounds import size_and_times
from vsearch.decode.wire import Seen, Trouble
from vsearch.errors import SourceError
from vsearch.members.entry import Entry, Part
from vsearch.members.reading import read

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_REASONS = {
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "no such file",
    errno.EACCES: "no permission to read it",
    errno.EPERM: "no permission to read it",
    errno.ELOOP: "its links lead in a circle",
    errno.ENXIO: "not a file but a socket",  # what opening one gives
}


def read_file(path: bytes, max_bytes: int, part: Part | None = None) -> tuple[bytes, Seen]:
    """All bytes of a regular file, or of a member of it, and what it was when it was read.  Follows links.

    A member has the times of its archive, and a row or a frame its size too.  Raises Trouble.

    Opening never waits: a pipe without a writer would, for ever, if the open were a blocking one.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise _unreadable(error) from error
    except ValueError as error:
        raise Trouble("unreadable", "no such file") from error  # a zero byte in the name
    try:
        return _read_open(fd, max_bytes, part)
    except SourceError as error:
        raise Trouble("unreadable", str(error)) from error
    except OSError as error:
        raise _unreadable(error) from error
    finally:
        os.close(fd)


def _read_open(fd: int, max_bytes: int, part: Part | None) -> tuple[bytes, Seen]:
    before = os.fstat(fd)
    if not stat.S_ISREG(before.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(before.st_mode)), "something else")
        raise Trouble("unreadable", f"not a file but {kind}")
    size = max(part.size, part.stored) if isinstance(part, Entry) else before.st_size
    if part is None or isinstance(part, Entry):
        _check_size(size, max_bytes, before)
    data = _read_all(fd, size) if part is None else read(fd, part)
    after = os.fstat(fd)
    file_size, mtime_ns, ctime_ns = size_and_times(after)
    if (part is None and len(data) != after.st_size) or after.st_mtime_ns != before.st_mtime_ns:
        raise Trouble("unreadable", "the file changed while it was read", file_size, mtime_ns)
    _check_size(len(data), max_bytes, before)
    seen_size = part.size if isinstance(part, Entry) else file_size
    return data, Seen(xxhash.xxh3_128_digest(data), seen_size, mtime_ns, ctime_ns)


def _check_size(size: int, max_bytes: int, status: os.stat_result) -> None:
    if size > max_bytes:
        most = f"{max_bytes / 2**20:,.6g} MiB"
        reason = f"{size / 2**20:,.0f} MiB, more than {most}; raise the limit with --max-bytes"
        raise Trouble("too_large", reason, size, size_and_times(status)[1])


def _read_all(fd: int, size: int) -> bytes:
    """Read up to size + 1 bytes: one more tells that the file has grown."""
    with open(fd, "rb", buffering=0, closefd=False) as file:
        data = file.read(size + 1) or b""
        if len(data) in (size, size + 1):
            return data
        parts = [data]  # a read may give less than is there
        while part := file.read(size + 1 - sum(map(len, parts))):
            parts.append(part)
        return b"".join(parts)


def _unreadable(error: OSError) -> Trouble:
    words = _REASONS.get(error.errno or 0) or os.strerror(error.errno or 0).lower()
    return Trouble("unreadable", words)
