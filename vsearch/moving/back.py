"""Move back what a journal names.

Each file is looked for at both ends of its move, so that it does not matter how far the moving, or an earlier undoing,
had come when it was stopped.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from vsearch import files
from vsearch.moving import journal
from vsearch.moving.journal import Move
from vsearch.moving.mover import Moved
from vsearch.moving.names import numbered


@dataclass(frozen=True, slots=True)
class Undone:
    """What was undone.

    files: what became of each file that was not back already.  damaged: lines of the journal, from 1, that cannot be
    read.
    """

    files: tuple[Moved, ...]
    damaged: tuple[int, ...]


def undo(path: Path) -> Undone:
    """Move back what a journal says was moved, the last first.  Nothing is overwritten; it may be repeated.

    Raises SourceError when that is no journal.
    """
    lines = journal.read(path)
    done = (_back(move) for move in reversed(lines.last_of_each()))
    return Undone(tuple(moved for moved in done if moved is not None), lines.damaged)


def _back(move: Move) -> Moved | None:
    """Move one file back; None when it is back already, or was never moved."""
    try:
        here, there = _status(move.source), _status(move.target)
        if absence := _absence(move, there):
            return None if _is_back(move, here, there) else Moved(move.target, None, absence)
        if here is not None and there is not None and os.path.samestat(here, there) and there.st_nlink > 1:
            _drop_second_name(move)
            return None
        if here is not None and _is_empty(here):
            _set_aside(move)
    except OSError as error:
        return Moved(move.target, None, f"it cannot be moved ({error.strerror})")
    return _rename(move)


def _absence(move: Move, there: os.stat_result | None) -> str:
    """Why the file is not where it was to be moved, in words; empty when it is.  Raises OSError."""
    if there is None:
        return "it is gone from there"
    if not stat.S_ISREG(there.st_mode):
        return "it is no regular file"
    if _is_empty(there):
        return "it is empty there"
    return "" if move.is_of(move.target, there) else "it is another file than the one that was moved there"


def _is_back(move: Move, here: os.stat_result | None, there: os.stat_result | None) -> bool:
    """Whether a file that is not at its target is where it was.  What somebody did to it there is not our concern."""
    if here is None or _is_empty(here):
        return False
    return there is None or (stat.S_ISREG(here.st_mode) and move.is_of(move.source, here))


def _status(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_empty(status: os.stat_result) -> bool:
    """Whether it is an empty file: no picture, but what early versions put at either end to hold its name."""
    return stat.S_ISREG(status.st_mode) and status.st_size == 0


def _drop_second_name(move: Move) -> None:
    """A move by links was stopped between its two steps: the file is at both ends, and stays at its old one."""
    target = Path(os.fsdecode(move.target))
    files.unlink(target)
    files.fsync_dir(target.parent)


def _set_aside(move: Move) -> None:
    """Move an empty file out of the way of its picture, to where the picture is."""
    name = os.path.basename(move.source) + b".empty"
    for free in numbered(os.path.join(os.path.dirname(move.target), name)):
        try:
            return files.rename_new(Path(os.fsdecode(move.source)), Path(os.fsdecode(free)))
        except FileExistsError:
            continue


def _rename(move: Move) -> Moved:
    try:
        files.rename_new(Path(os.fsdecode(move.target)), Path(os.fsdecode(move.source)))
    except FileExistsError as error:
        return Moved(move.target, None, f"{os.fsdecode(move.source)!r}: {error.strerror}")
    except OSError as error:
        return Moved.after(error, move.target, move.source)
    return Moved(move.target, move.source)
