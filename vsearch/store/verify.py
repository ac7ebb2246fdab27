"""When the metadata must be walked before LMDB may touch it."""

from __future__ import annotations

import os
from pathlib import Path

from vsearch import files
from vsearch.remembered import CACHE
from vsearch.store.layout import Layout

SMALL_METADATA = 16 << 20
WALKED = "metadata-walked"  # kind of what the user's cache holds


def clean_note(root: Path) -> bytes:
    """What is left in LOCK after an orderly end: how the metadata looked then.

    The time of the last change of the inode is part of it, which no archive and no copy can bring along: the note of
    an index from elsewhere is not believed.
    """
    status = os.stat(Layout(root).data)
    return b"clean %d %d\n" % (status.st_size, status.st_ctime_ns)


class Walk:
    """Whether the metadata must be walked before LMDB may touch it: a damaged page can end the process.

    A small file is always walked; a large one when it is neither as its last writer left it nor as this user walked it
    before.  A reader beside a writer walks nothing: what it would see is in motion.  Whether there is a writer is seen
    by the lock itself: the file may name any process.
    """

    def __init__(self, root: Path, found: bytes | None) -> None:
        """found: what the writer's lock held, None for a reader."""
        self._layout = Layout(root)
        self._found = found
        self._state = ""

    def is_due(self) -> bool:
        """Whether to walk now."""
        if self._found is None and files.is_locked(self._layout.lock):
            return False
        try:
            status = os.stat(self._layout.data)
            self._state = f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_ctime_ns}"
            if status.st_size <= SMALL_METADATA:
                return True
            note = _note(self._layout.lock) if self._found is None else self._found
            return note != clean_note(self._layout.root) and CACHE.recall(WALKED, self._state) is None
        except OSError:
            return False

    def passed(self) -> None:
        """Remember that the metadata, as they were when ``is_due`` was asked, are sound."""
        if os.stat(self._layout.data).st_size > SMALL_METADATA:
            CACHE.remember(WALKED, self._state, True)


def _note(lock: Path) -> bytes:
    """What LOCK holds; nothing when it is not there."""
    try:
        with open(lock, "rb", opener=files.plain) as file:
            return file.read(64)
    except FileNotFoundError:
        return b""
