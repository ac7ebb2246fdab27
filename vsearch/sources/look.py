"""One picture file: its size, its times and the caption beside it."""

from __future__ import annotations

import os
import stat

from vsearch.sources.suffixes import suffix
from vsearch.types import Failure, Item

CAPTION_BYTES = 64 * 1024
CAPTION_SUFFIX = b".txt"


def scan_failure(path: bytes, error: OSError | ValueError) -> Failure:
    """Turn the failure of a system call into data: the reason in the system's words, without the path."""
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else "not a possible file name"
    return Failure(path, "scan", reason)


def item_or_failure(path: bytes, status: os.stat_result, caption: str | None) -> Item | Failure:
    """Make the item of a regular file; a pipe, socket, device or folder is a failure and must not be opened."""
    if stat.S_ISREG(status.st_mode):
        return Item(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, caption)
    kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
    return Failure(path, "scan", kind, status.st_size, status.st_mtime_ns)


def caption_name(name: bytes) -> bytes:
    """``x.txt`` for ``x.jpg``."""
    kept = len(name) - len(suffix(name))
    return name[:kept] + CAPTION_SUFFIX


def read_caption(path: bytes) -> str | None:
    """Read a caption file, at most 64 kB of it; None where there is none that can be read.

    Opened without blocking, so that a pipe of that name cannot stop the scan.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    with open(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        try:
            return clean_caption(stream.read(CAPTION_BYTES))
        except OSError:
            return None


def clean_caption(raw: bytes) -> str | None:
    """UTF-8 with U+FFFD for what is not, cut to 64 kB, stripped; None when nothing is left."""
    return raw[:CAPTION_BYTES].decode("utf-8-sig", "replace").strip() or None
