"""When the metadata must be walked before LMDB may touch it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from vsearch.store.layout import Layout

SMALL_METADATA = 16 << 20


def clean_note(root: Path) -> bytes:
    """What is left in LOCK after an orderly end: how the metadata looked then."""
    told = os.stat(Layout(root).data)
    return b"clean %d %d\n" % (told.st_size, told.st_mtime_ns)


def must_verify(root: Path, found: bytes | None) -> Callable[[], bool]:
    """Whether the metadata must be walked before LMDB may touch it: a damaged page can end the process.

    found: what the writer's lock held, None for a reader.  A small file is always walked; a large one when it is not
    as its last writer left it.  A reader beside a writer walks nothing: what it would see is in motion.
    """

    def told() -> bool:
        try:
            note = Layout(root).lock.read_bytes()[:64] if found is None else found
            as_left = note == clean_note(root)
            small = os.stat(Layout(root).data).st_size <= SMALL_METADATA
        except OSError:
            return False
        if found is None and _is_at_work(note):
            return False
        return small or not as_left

    return told


def _is_at_work(note: bytes) -> bool:
    """Whether LOCK names a process that lives.  One that died may have left anything."""
    if not note.strip().isdigit():
        return False
    try:
        os.kill(int(note), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
