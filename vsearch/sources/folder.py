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
from vsearch.sources.left_out import kind_left_out
from vsearch.sources.names import Names, names
from vsearch.sources.probe import CAPTION_SUFFIX, caption_names, captioned, item_or_failure, scan_failure
from vsearch.sources.protocol import AnyPath, absolute, check_no_address
from vsearch.sources.suffixes import PICTURE_SUFFIXES, suffix
from vsearch.types import Failure, Item, Settings

Entries = list[os.DirEntry[bytes]]
OPTIONS = ("follow_links", "hidden", "all_files", "archives", "every", "raw", "exclude")


@dataclass(frozen=True)
class Folder:
    """Pictures below ``root``: the files of a folder by name, then its sub-folders by name.

    Options that are None are as by default, or as an index remembers them of this root.  top: the folder that patterns
    are relative to.  left_out: how many files the last walk did not look at that another option would take in, by kind;
    passed_by: how many others, by suffix.
    """

    root: bytes
    follow_links: bool | None = None
    hidden: bool | None = None
    all_files: bool | None = None
    archives: bool | None = None
    every: float | None = None
    raw: bool | None = None
    exclude: tuple[str, ...] | None = None
    top: bytes = b""
    left_out: Counter[str] = field(default_factory=Counter, compare=False)
    passed_by: Counter[bytes] = field(default_factory=Counter, compare=False)

    @property
    def names(self) -> Names:
        """Which names are looked at."""
        return Names(bool(self.hidden), self.exclude or ())

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The folder itself; with a slash where it would be taken for an archive (a folder named ``x.zip#``)."""
        return (self.root + b"/" * self.root.endswith(MARK),)

    @property
    def settings(self) -> dict[bytes, Settings]:
        """The options that are not as by default."""
        told = {name: getattr(self, name) for name in OPTIONS}
        options = {name: list(value) if isinstance(value, tuple) else value for name, value in told.items() if value}
        return {self.root: options}

    def __iter__(self) -> Iterator[Item | Failure]:
        """Walk the tree.  Raises SourceError when the root itself cannot be read."""
        return opened(self.walk())

    def walk(self) -> Iterator[Item | Failure | Archive]:
        """The same, with archives themselves in place of their members."""
        walk = _Walk(self, self.names)
        self.passed_by.clear()
        self.left_out.clear()
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
                walk.count_left_out(entries)
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
            if not self.is_archive(entry):
                continue
            for file in self.look(entry, set()):
                if isinstance(file, Item):
                    every = (self.spec.every or 0.0) if is_moving(entry.name) else 0.0
                    yield Archive(entry.path, every, bool(self.spec.hidden), self.spec.exclude or ())
                elif not self.is_picture(entry):
                    yield file

    def count_left_out(self, entries: Entries) -> None:
        """Note what another option would have taken in."""
        for entry in entries:
            link = _is_link(entry)
            kind = kind_left_out(entry.name, link=link and not self.spec.follow_links)
            if kind is None or (kind != "links" and _is_folder(entry, follow_links=True)):
                continue
            taken = self.is_picture(entry) or self.is_archive(entry)
            if not taken and not self.is_excluded(entry) and self.leads_somewhere(entry, link):
                self.spec.left_out[kind] += 1

    def leads_somewhere(self, entry: os.DirEntry[bytes], link: bool) -> bool:
        """Whether a link leads to a folder or a picture; anything else does."""
        return not link or _is_folder(entry, follow_links=True) or suffix(entry.name) in PICTURE_SUFFIXES

    def pass_by(self, entry: os.DirEntry[bytes]) -> None:
        """Count a file that is no picture by its name, and that no option would take in; captions are not passed by."""
        ending = suffix(entry.name)
        if ending == CAPTION_SUFFIX or kind_left_out(entry.name, link=False) is not None:
            return
        if not self.is_archive(entry) and self.is_file(entry):
            self.spec.passed_by[ending] += 1

    def is_archive(self, entry: os.DirEntry[bytes]) -> bool:
        wanted = self.spec.every if is_moving(entry.name) else self.spec.archives and is_archive(entry.name)
        return bool(wanted) and self.is_file(entry)

    def is_wanted(self, entry: os.DirEntry[bytes], is_folder: bool = False) -> bool:
        return self.names.takes_name(entry.name) and not self.is_excluded(entry, is_folder)

    def is_excluded(self, entry: os.DirEntry[bytes], is_folder: bool = False) -> bool:
        top = self.spec.top or self.spec.root
        return self.names.excludes(entry.path[len(top) :].lstrip(b"/"), is_folder)

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
            return bool(self.spec.follow_links) and not _is_folder(entry, follow_links=True)
        return not _is_folder(entry, follow_links=False)

    def look(self, entry: os.DirEntry[bytes], captions: set[bytes]) -> Iterator[Item | Failure]:
        try:
            status = entry.stat(follow_symlinks=bool(self.spec.follow_links))
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
    follow_links: bool | None = None,
    hidden: bool | None = None,
    all_files: bool | None = None,
    archives: bool | None = None,
    every: float | None = None,
    raw: bool | None = None,
    exclude: Sequence[str] | None = None,
) -> Folder:
    """Every picture below a folder.

    follow_links: follow symbolic links to folders and files; loops end, a folder is read once.
    hidden: also names that start with a dot.  all_files: whatever the suffix is, but for ``.txt`` captions.
    archives: also the pictures inside tar and zip files.
    every: also the frames of videos, GIFs and WebPs, so many seconds apart, 0 for none; see ``archive``.
    raw: also RAW files of cameras.
    exclude: patterns in gitignore's syntax of what is left out, also of archives.  ``@eaDir``, ``#recycle``,
    ``$RECYCLE.BIN``, ``.thumbnails`` and ``__MACOSX`` are anyway, unless a pattern is ``!@eaDir``.
    What is left None is as an index remembers it of this folder, or of the one around it; else as False.
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
    if type(every) not in (int, float) or every:  # 0: no frames
        check_every(every)
    patterns = None if exclude is None else names(bool(hidden), exclude).exclude
    return Folder(root, follow_links, hidden, all_files, archives, every, raw, patterns, root)
