"""Whether a picture is gone from where it was, so that the same bytes elsewhere are its new place."""

from __future__ import annotations

import os
from collections.abc import Iterable

from vsearch.members import address
from vsearch.store import Record, Snapshot


class Moves:
    """Picks what has moved, each once."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def source(self, snapshot: Snapshot, known: Iterable[tuple[int, Record]]) -> tuple[int, Record] | None:
        """Of pictures with the same bytes the first one that has gone from its place; None when all may be there."""
        for id, record in known:
            if id not in self._taken and self._is_gone(snapshot, record):
                self._taken.add(id)
                return id, record
        return None

    def _is_gone(self, snapshot: Snapshot, record: Record) -> bool:
        """Whether a picture is gone and its disk is not: neither there, nor below a folder that is empty.

        An empty folder is what an unmounted disk leaves.  A root that is gone itself was renamed or moved.
        """
        if not record.path.startswith(b"/") or address.is_there(record.path):
            return False
        place = _nearest(record.path)
        is_below_root = any((place + b"/").startswith(root) for root in snapshot.roots())
        return record.missing or not is_below_root or not _is_empty(place)


def _nearest(path: bytes) -> bytes:
    """The innermost folder around a path that is there."""
    place = os.path.dirname(path)
    while place != b"/" and not os.path.isdir(place):
        place = os.path.dirname(place)
    return place


def _is_empty(folder: bytes) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return True
