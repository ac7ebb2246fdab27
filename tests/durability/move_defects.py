"""Planted defects of ``dups --apply`` and ``--undo``, each of which the harnesses of moves must notice."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import Any

from vsearch import files
from vsearch.errors import SourceError
from vsearch.moving import back, journal, mover

WINDOW = 0.002
"""Seconds for which a defect that needs a kill at the wrong moment stays open."""


def apply(name: str) -> None:
    """Break this process's copy of the library; the empty name leaves it as it is."""
    if name:
        DEFECTS[name]()


def _overwriting_rename() -> None:
    def rename(old: Path, new: Path) -> None:
        files.rename(old, new)
        files.fsync_dir(old.parent)

    files.rename_new = rename


def _line_after_rename() -> None:
    note, rename_new, waiting = journal.Journal.note, files.rename_new, list[Any]()
    journal.Journal.note = lambda self, move: waiting.append((self, move))  # type: ignore[method-assign]

    def rename_first(old: Path, new: Path) -> None:
        rename_new(old, new)
        while waiting:
            time.sleep(WINDOW)
            note(*waiting.pop())

    files.rename_new = rename_first


def _torn_line_refused() -> None:
    read = journal.read

    def strict(path: Path) -> Any:
        if not (path.read_bytes() or b"\n").endswith(b"\n"):
            raise SourceError(f"{path} is no journal")
        return read(path)

    journal.read = strict


def _placeholders() -> None:
    """An empty file holds the name until the file is renamed over it, and is in the way of the next try."""

    def rename(old: Path, new: Path) -> None:
        os.close(files.create(new))
        time.sleep(WINDOW)
        files.rename(old, new)
        files.fsync_dir(old.parent)

    files.rename_new = rename
    back._is_empty = lambda status: False


def _names_used_again() -> None:
    """A name that a journal gives to one file is given to another, since it is free."""
    mover.moves_in = lambda folder: iter(())


def _earlier_moves_forgotten() -> None:
    """What an earlier run has moved, and had no time to tell the index, is only found to be gone."""
    mover.Mover.has_moved = lambda self, path: False  # type: ignore[method-assign]


def _second_name_left() -> None:
    back._drop_second_name = lambda move: None


def _any_file_moved_back() -> None:
    """Whatever is at the end of a move is taken for the file that was moved."""
    journal.Move.is_of = lambda self, path, status: True  # type: ignore[method-assign]


def _line_not_durable() -> None:
    fsync = files.fsync
    files.fsync = lambda fd: None if stat.S_ISREG(os.fstat(fd).st_mode) else fsync(fd)


def _folders_not_durable() -> None:
    files.fsync_dir = lambda path: None


def _old_folder_first() -> None:
    """The old name is gone for good before the new one is there for good."""
    rename_new, fsync_dir = files.rename_new, files.fsync_dir

    def rename(old: Path, new: Path) -> None:
        files.fsync_dir = lambda path: None
        rename_new(old, new)
        files.fsync_dir = fsync_dir
        fsync_dir(old.parent)
        fsync_dir(new.parent)

    files.rename_new = rename


def _unchecked_short_write() -> None:
    def write_once(fd: int, data: Any, offset: int) -> int:
        os.pwrite(fd, data, offset)
        return offset + len(data)

    files.write_all = write_once


def _errors_passed_over() -> None:
    """A file that could not be moved counts as moved."""
    mover.Moved.after = classmethod(lambda cls, error, path, to: cls(path, to))  # type: ignore[assignment]


DEFECTS = {
    "overwriting rename": _overwriting_rename,
    "line after the rename": _line_after_rename,
    "torn line refused": _torn_line_refused,
    "placeholders": _placeholders,
    "names used again": _names_used_again,
    "earlier moves forgotten": _earlier_moves_forgotten,
    "second name left": _second_name_left,
    "any file moved back": _any_file_moved_back,
    "line not durable": _line_not_durable,
    "folders not durable": _folders_not_durable,
    "old folder first": _old_folder_first,
    "unchecked short write": _unchecked_short_write,
    "errors passed over": _errors_passed_over,
}
