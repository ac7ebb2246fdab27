"""Move files into one folder, each after a line in a journal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from vsearch import files
from vsearch.errors import DiskFull, SourceError
from vsearch.moving.content import Expected
from vsearch.moving.journal import Journal, Move, moves_in
from vsearch.moving.names import numbered


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of one file.

    to: where it is now, None when it was left where it was; then ``why`` says why.  A file that was moved has a
    ``why`` when the disk reported an error after that.
    """

    path: bytes
    to: bytes | None
    why: str = ""

    @classmethod
    def after(cls, error: OSError, path: bytes, to: bytes) -> Moved:
        """What became of a file whose renaming has failed, or only the fsync behind it."""
        if os.path.lexists(to) and not os.path.lexists(path):
            return cls(path, to, f"the disk reported an error ({error.strerror}), and may not keep it there")
        return cls(path, None, f"it cannot be moved ({error.strerror})")


class Mover:
    """Moves files into one folder and keeps the journal of it.  A context manager.

    Raises SourceError when the folder cannot be made or written, DiskFull.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(os.path.abspath(folder))
        self._named: dict[bytes, set[bytes]] = {}
        self._earlier: dict[bytes, list[bytes]] = {}
        self._stopped = ""
        try:
            if not self._folder.is_dir():
                files.make_dir(self._folder)
            for move in moves_in(self._folder):
                if os.path.dirname(move.target) == os.fsencode(self._folder):  # It may have had another name.
                    self._earlier.setdefault(move.source, []).append(move.target)
                    self._named.setdefault(move.target, set()).add(move.source)
            self._journal = Journal(self._folder)
        except OSError as error:
            raise self._no_folder(error) from error

    def _no_folder(self, error: OSError) -> DiskFull | SourceError:
        full = files.translated(error, self._folder)
        if isinstance(full, DiskFull):
            return full
        return SourceError(
            f"pictures cannot be moved to {os.fspath(self._folder)!r}: {error.strerror}; name a folder that you "
            f"may write, whose parent is there"
        )

    @property
    def journal(self) -> Path:
        """Where the journal is."""
        return self._journal.path

    def __enter__(self) -> Mover:
        return self

    def __exit__(self, *error: object) -> None:
        self._journal.close()

    def moved_earlier(self) -> list[bytes]:
        """Where files were that an earlier run has moved here, by its journal; it may have been stopped after that."""
        return [path for path in self._earlier if self.has_moved(path)]

    def has_moved(self, path: bytes) -> bool:
        """Whether an earlier run has moved a file here."""
        return not os.path.lexists(path) and any(map(os.path.lexists, self._earlier.get(path, ())))

    def move(self, source: Expected, kept: Expected) -> Moved:
        """Move a file, if it and the one that is kept instead are both still what they were.

        Once the journal cannot be written, nothing more is moved.
        """
        if self._stopped:
            return Moved(source.path, None, self._stopped)
        if problem := kept.problem():
            return Moved(source.path, None, f"the picture to keep, {os.fsdecode(kept.path)!r}: {problem}")
        if problem := source.problem():
            return Moved(source.path, None, problem)
        try:
            inode = os.lstat(source.path).st_ino
        except OSError as error:
            return Moved(source.path, None, f"it cannot be read ({error.strerror})")
        return self._move(source.path, inode, source.content)

    def _move(self, path: bytes, inode: int, content: bytes) -> Moved:
        for target in self._free_targets(path):
            try:
                self._journal.note(Move(path, target, inode, content))
            except OSError as error:
                self._stopped = f"the journal cannot be written ({error.strerror})"
                return Moved(path, None, self._stopped)
            try:
                files.rename_new(Path(os.fsdecode(path)), Path(os.fsdecode(target)))
            except FileExistsError:
                continue  # Another program was quicker.
            except OSError as error:
                return Moved.after(error, path, target)
            return Moved(path, target)
        return Moved(path, None, "too many files of that name in the folder")

    def _free_targets(self, source: bytes) -> Iterator[bytes]:
        """Names that nothing has and no journal gives to another file; first those that journals give to this one.

        An earlier run may have been stopped between its line and the move: undoing that must not find another file.
        """
        wanted = os.path.join(os.fsencode(self._folder), os.path.basename(source))
        for target in chain(self._earlier.get(source, ()), numbered(wanted)):
            if not os.path.lexists(target) and self._named.get(target, {source}) == {source}:
                yield target
