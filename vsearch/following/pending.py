"""What has changed and is not indexed yet, in a bounded amount of memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

from vsearch.errors import SourceError
from vsearch.members.address import is_raw
from vsearch.sources import PICTURE_SUFFIXES, Folder
from vsearch.types import Failure, Item

MOST = 4096  # paths; above it whole folders are surveyed, which costs less than thousands of single looks
_ENDINGS = (*sorted(PICTURE_SUFFIXES), b".txt")


@dataclass
class Job:
    """What to look at in one run.

    whole: roots to be surveyed from top to bottom.  trees: folders that are new, to be walked.  listed: folders whose
    own files are to be looked at.  gone: paths that are no longer there.
    """

    whole: set[bytes] = field(default_factory=set)
    trees: set[bytes] = field(default_factory=set)
    listed: set[bytes] = field(default_factory=set)
    gone: set[bytes] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.whole or self.trees or self.listed or self.gone)

    def __len__(self) -> int:
        return len(self.trees) + len(self.listed) + len(self.gone)

    def survey(self, root: bytes) -> None:
        """Look at all of a root; nothing below it is of interest by itself any more."""
        self.whole.add(root)
        for some in (self.trees, self.listed, self.gone):
            some -= {path for path in some if is_below(path, root)}

    def take_over(self, other: Job) -> None:
        """Add what another job was to look at."""
        self.trees |= other.trees
        self.listed |= other.listed
        self.gone |= other.gone
        for root in other.whole | self.whole:
            self.survey(root)


@dataclass(frozen=True)
class Touched:
    """The pictures that a job is to look at, as a source that covers no folder."""

    folders: Sequence[Folder]
    job: Job

    @property
    def roots(self) -> tuple[bytes, ...]:
        """None: what it does not show may well be there."""
        return ()

    def __iter__(self) -> Iterator[Item | Failure]:
        """Walk new folders, list the others; one that is gone meanwhile shows nothing."""
        for path in sorted(self.job.trees):
            yield from self._walk(path)
        for path in sorted(self.job.listed):
            yield from takewhile(lambda found, at=path: os.path.dirname(found.path) == at, self._walk(path))  # type: ignore[misc]

    def _walk(self, path: bytes) -> Iterator[Item | Failure]:
        folder = folder_of(path, self.folders)
        if folder is not None:
            try:
                yield from replace(folder, root=path)
            except SourceError:
                return


def is_below(path: bytes, folder: bytes) -> bool:
    """Whether a path is a folder or lies below it."""
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")


def folder_of(path: bytes, folders: Iterable[Folder]) -> Folder | None:
    """The outermost of the folders that a path lies in."""
    return min((f for f in folders if is_below(path, f.root)), key=lambda f: len(f.root), default=None)


def is_wanted(path: bytes, folder: Folder) -> bool:
    """Whether the walk of a folder would come to a path: no name on the way is left out, or an index or a link."""
    names = [name for name in path[len(folder.root) :].split(b"/") if name]
    if not folder.names.takes(b"/".join(names)):
        return False
    if any(name.endswith(b".vsearch") for name in names):
        return False
    at = folder.root
    for name in names[:-1]:
        at = os.path.join(at, name)
        if os.path.islink(at):
            return False
    return True


def may_matter(path: bytes, folder: Folder) -> bool:
    """Whether a file of this name can be a picture or a caption."""
    return bool(folder.all_files) or path.lower().endswith(_ENDINGS) or (bool(folder.raw) and is_raw(path))
