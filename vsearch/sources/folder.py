"""A folder and everything below it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vsearch.errors import SourceError
from vsearch.members.address import MARK, RAW, is_archive, is_moving
from vsearch.members.raw import check_installed
from vsearch.sources.archive import Archive, check_every, opened
from vsearch.sources.look import CAPTION_SUFFIX, caption_names, captioned, item_or_failure, scan_failure
from vsearch.sources.names import Names, names
from vsearch.sources.protocol import AnyPath, absolute, check_no_address
from vsearch.sources.suffixes import PICTURE_SUFFIXES, suffix
from vsearch.types import Failure, Item

Entries = list[os.DirEntry[bytes]]


@dataclass(frozen=True)
class Folder:
    """Pictures below ``root``: the files of a folder by name, then its sub-folders by name.

    top: the folder that patterns are relative to.  passed_by: how many files the last walk did not look at, by suffix.
    """

    root: bytes
    follow_links: bool = False
    hidden: bool = False
    all_files: bool = False
    archives: bool = False
    every: float = 0.0
    raw: bool = False
    exclude: tuple[str, ...] = ()
    top: bytes = b""
    passed_by: Counter[bytes] = field(default_factory=Counter, compare=False)

    @property
    def names(self) -> Names:
        """Which names are looked at."""
        return Names(self.hidden, self.exclude)

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The folder itself; with a slash where it would be taken for an archive (a folder named ``x.zip#``)."""
        return (self.root + b"/" * self.root.endswith(MARK),)

    def __iter__(self) -> Iterator[Item | Failure]:
        """Walk the tree.  Raises SourceError when the root itself cannot be read."""
        return opened(self.walk())

    def walk(self) -> Iterator[Item | Failure | Archive]:
        """The same, with archives themselves in place of their members."""
        walk = _Walk(self, self.names)
        self.passed_by.clear()
        _check_readable(self.root)
        while folder := walk.next_folder():
            try:
                if not walk.is_new(folder):
                    continue
                with os.scandir(folder) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                yield scan_failure(folder, error)
            else:
                yield from walk.pictures(entries)
                if self.archives or self.every:
                    yield from walk.archives(entries)
                walk.descend(entries)


@dataclass
class _Walk:
    """The state of one walk.

    Linked folders wait until every real one was read, so that a picture that is reachable both ways
    gets its real path and keeps it when the link goes.
    """

    spec: Folder
    names: Names
    real: list[bytes] = field(default_factory=list)
    linked: list[bytes] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.real.append(self.spec.root)

    def next_folder(self) -> bytes | None:
        queue = self.real or self.linked
        return queue.pop() if queue else None

    def is_new(self, folder: bytes) -> bool:
        """Tell whether the folder was not read before: links may make loops."""
        status = os.stat(folder)
        key = (status.st_dev, status.st_ino)
        known = key in self.seen
        self.seen.add(key)
        return not known

    def descend(self, entries: Entries) -> None:
        for entry in reversed(entries):
            if entry.name.endswith(b".vsearch") or not self.is_wanted(entry, is_folder=True):
                continue
            if _is_folder(entry, follow_links=False):
                self.real.append(entry.path)
            elif self.spec.follow_links and _is_folder(entry, follow_links=True):
                self.linked.append(entry.path)

    def pictures(self, entries: Entries) -> Iterator[Item | Failure]:
        captions = {entry.name for entry in entries if suffix(entry.name) == CAPTION_SUFFIX}
        failed: set[bytes] = set()  # two pictures may have one caption
        for entry in entries:
            if not self.is_picture(entry):
                self.pass_by(entry)
                continue
            for found in self.look(entry, captions):
                if found.path not in failed:
                    yield found
                if isinstance(found, Failure):
                    failed.add(found.path)

    def archives(self, entries: Entries) -> Iterator[Archive | Failure]:
        """The archives in a folder; a failure is one of those that are no pictures as well."""
        for entry in entries:
            if not self.is_opened(entry.name) or not self.is_file(entry):
                continue
            for file in self.look(entry, set()):
                if isinstance(file, Item):
                    every = self.spec.every if is_moving(entry.name) else 0.0
                    yield Archive(entry.path, every, self.spec.hidden, self.spec.exclude)
                elif not self.is_picture(entry):
                    yield file

    def pass_by(self, entry: os.DirEntry[bytes]) -> None:
        """Count a file that is no picture by its name; captions are not passed by."""
        ending = suffix(entry.name)
        if ending != CAPTION_SUFFIX and not self.is_opened(entry.name) and self.is_file(entry):
            self.spec.passed_by[ending] += 1

    def is_opened(self, name: bytes) -> bool:
        return self.spec.every > 0 if is_moving(name) else self.spec.archives and is_archive(name)

    def is_wanted(self, entry: os.DirEntry[bytes], is_folder: bool = False) -> bool:
        if not self.names.takes_name(entry.name):
            return False
        top = self.spec.top or self.spec.root
        return not self.names.excludes(entry.path[len(top) :].lstrip(b"/"), is_folder)

    def is_picture(self, entry: os.DirEntry[bytes]) -> bool:
        ending = suffix(entry.name)
        wanted = ending in PICTURE_SUFFIXES or (self.spec.raw and ending in RAW)
        if not wanted and (not self.spec.all_files or ending == CAPTION_SUFFIX):
            return False
        return self.is_file(entry)

    def is_file(self, entry: os.DirEntry[bytes]) -> bool:
        """Whether an entry is to be looked at: all but excluded names, folders, and links that are not followed."""
        if not self.is_wanted(entry):
            return False
        if _is_link(entry):
            return self.spec.follow_links and not _is_folder(entry, follow_links=True)
        return not _is_folder(entry, follow_links=False)

    def look(self, entry: os.DirEntry[bytes], captions: set[bytes]) -> Iterator[Item | Failure]:
        try:
            status = entry.stat(follow_symlinks=self.spec.follow_links)
        except FileNotFoundError as error:
            # A file that went away since the folder was read is no failure; a link that leads nowhere is.
            if entry.is_symlink():
                yield scan_failure(entry.path, error)
        except OSError as error:
            yield scan_failure(entry.path, error)
        else:
            if captions and any(name in captions for name in caption_names(entry.name)):
                yield from captioned(entry.path, status)
            else:
                yield item_or_failure(entry.path, status, None)


def _is_folder(entry: os.DirEntry[bytes], *, follow_links: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow_links)
    except OSError:  # a loop of links, or a damaged disk: stat tells why
        return False


def _is_link(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_symlink()
    except OSError:
        return False


def _check_readable(root: bytes) -> None:
    try:
        os.scandir(root).close()
    except OSError as error:
        shown = os.fsdecode(root)
        raise SourceError(
            f"cannot read the folder {shown!r}: {error.strerror}. Check its name, and that the disk is there."
        ) from error


def folder(
    path: AnyPath,
    *,
    follow_links: bool = False,
    hidden: bool = False,
    all_files: bool = False,
    archives: bool = False,
    every: float | None = None,
    raw: bool = False,
    exclude: Sequence[str] = (),
) -> Folder:
    """Every picture below a folder.

    follow_links: follow symbolic links to folders and files; loops end, a folder is read once.
    hidden: also names that start with a dot.  all_files: whatever the suffix is, but for ``.txt`` captions.
    archives: also the pictures inside tar and zip files.
    every: also the frames of videos, GIFs and WebPs, so many seconds apart; see ``archive``.
    raw: also RAW files of cameras.
    exclude: patterns in gitignore's syntax of what is left out, also of archives.  ``@eaDir``, ``#recycle``,
    ``$RECYCLE.BIN``, ``.thumbnails`` and ``__MACOSX`` are anyway, unless a pattern is ``!@eaDir``.
    Folders named ``*.vsearch`` are indexes and are left out.
    Raises SourceError when there is no such folder.
    """
    root = absolute(path)
    check_no_address(path)
    shown = os.fsdecode(root)
    if not os.path.lexists(root):
        raise SourceError(f"there is no folder {shown!r}. Check the name, and that the disk is there.")
    if not os.path.isdir(root):
        raise SourceError(f"{shown!r} is not a folder. Name the folder that it is in, or use files([path]).")
    if root.endswith(b".vsearch"):
        raise SourceError(f"{shown!r} is an index, not a folder of pictures. Name the folder with the pictures.")
    if raw:
        check_installed()
    check_every(every)
    rule = names(hidden, exclude)
    return Folder(root, follow_links, hidden, all_files, archives, every or 0.0, raw, rule.exclude, root)
