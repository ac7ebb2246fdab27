"""Which names are looked at: one rule for folders and for what lies in archives."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from vsearch.errors import SourceError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

EXCLUDED = (b"@eaDir", b"#recycle", b"$RECYCLE.BIN", b".thumbnails", b"__MACOSX")
"""Folders that network disks, systems and file managers make for themselves.  Case makes no difference."""


@dataclass(frozen=True)
class Names:
    """The rule: no names that begin with a dot, no folders that systems make, nothing that a pattern excludes.

    hidden: names that begin with a dot are looked at.  exclude: patterns in gitignore's syntax, relative to a folder
    or to the top of an archive; ``!@eaDir`` takes what is excluded by default.
    """

    hidden: bool = False
    exclude: tuple[str, ...] = ()

    @cached_property
    def _systems(self) -> frozenset[bytes]:
        return frozenset(name.lower() for name in EXCLUDED if f"!{os.fsdecode(name)}" not in self.exclude)

    @cached_property
    def _patterns(self) -> GitIgnoreSpec | None:
        if not self.exclude:
            return None
        from pathspec import GitIgnoreSpec

        return GitIgnoreSpec.from_lines(self.exclude)

    @cached_property
    def _takes_back(self) -> bool:
        """Whether a pattern may take what lies in a folder that another excludes."""
        return any(pattern.startswith("!") for pattern in self.exclude)

    @property
    def key(self) -> str:
        """The rule as a text, to tell whether an archive was read by the same one."""
        return "\n".join(["1", "hidden" * self.hidden, *self.exclude])

    def takes(self, path: bytes, is_folder: bool = False) -> bool:
        """Whether a file or a folder is looked at, by the names on the way to it.  path: relative, with ``/``."""
        return all(map(self.takes_name, path.split(b"/"))) and not self.excludes(path, is_folder)

    def takes_name(self, name: bytes) -> bool:
        """Whether the last name on a path speaks for it."""
        return (self.hidden or name == b".." or not name.startswith(b".")) and name.lower() not in self._systems

    def excludes(self, path: bytes, is_folder: bool = False) -> bool:
        """Whether a pattern excludes a relative path."""
        if self._patterns is None or (is_folder and self._takes_back):
            return False  # what is below a folder is asked about by its own path
        return bool(self._patterns.match_file(os.fsdecode(path) + "/" * is_folder))


def names(hidden: bool = False, exclude: Sequence[str] = ()) -> Names:
    """The rule of these options.  Raises SourceError for a pattern that gitignore's syntax does not know."""
    from pathspec import GitIgnoreSpec

    for pattern in exclude:
        try:
            GitIgnoreSpec.from_lines([pattern])
        except ValueError as error:
            raise SourceError(
                f"{pattern!r} is no pattern in gitignore's syntax. Examples: '*.psd', 'drafts/', '/2019/*.png'"
            ) from error
    return Names(hidden, tuple(exclude))
