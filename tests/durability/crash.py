"""The states in which a power cut may leave a disk: six kinds at every system call."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from tests.durability.disk import Change, Disk, File, Folder, Resize, Tree, Write, grow

PAGE, SECTOR = 4096, 512


class Outcome:
    """What became of pending changes; the base class is the luckiest disk, which lost nothing."""

    name = "all kept"

    def __init__(self, random: Random) -> None:
        self.random = random

    def names(self, folder: Folder) -> list[bool]:
        """Which pending changes of names have reached the disk."""
        return [True] * len(folder.pending)

    def content(self, file: File) -> bytes:
        """The bytes found after the power cut."""
        return file.current()


class AllLost(Outcome):
    """Nothing that was not made durable is there."""

    name = "all lost"

    def names(self, folder: Folder) -> list[bool]:
        """None."""
        return [False] * len(folder.pending)

    def content(self, file: File) -> bytes:
        """What was durable."""
        return file.durable


class NamesOnly(Outcome):
    """Names and sizes arrived, bytes did not: where a file grew there may be zeros."""

    name = "names kept, data lost"

    def content(self, file: File) -> bytes:
        """What was durable, perhaps grown with zeros."""
        return _resized(self.random, file, bytearray(file.durable))


class SomeBlocks(Outcome):
    """Each block of each write, and each name, arrived or did not."""

    block = PAGE
    name = "random pages"

    def names(self, folder: Folder) -> list[bool]:
        """Each on its own."""
        return [self.random.random() < 0.5 for _ in folder.pending]

    def content(self, file: File) -> bytes:
        """Pending changes in order, block by block, each with even odds."""
        content = bytearray(file.durable)
        for change in file.pending:
            for piece in _pieces(change, self.block):
                if self.random.random() < 0.5:
                    piece.apply(content)
        return _resized(self.random, file, content)


class SomeSectors(SomeBlocks):
    """The same in the smallest pieces that a disk writes whole."""

    block = SECTOR
    name = "random sectors"


class Torn(Outcome):
    """Nearly all arrived: one file's last write stopped at a sector, a few pieces and names are missing."""

    name = "mostly written, torn"

    def names(self, folder: Folder) -> list[bool]:
        """Nine in ten."""
        return [self.random.random() < 0.9 for _ in folder.pending]

    def content(self, file: File) -> bytes:
        """Nine in ten sectors of what is pending, and only the start of the last write."""
        content = bytearray(file.durable)
        for change in file.pending[:-1]:
            for piece in _pieces(change, SECTOR):
                if self.random.random() < 0.9:
                    piece.apply(content)
        for change in file.pending[-1:]:
            pieces = list(_pieces(change, SECTOR))
            for piece in pieces[: self.random.randrange(len(pieces) + 1)]:
                piece.apply(content)
        return bytes(content)


KINDS: tuple[type[Outcome], ...] = (AllLost, Outcome, NamesOnly, SomeBlocks, SomeSectors, Torn)


def _resized(random: Random, file: File, content: bytearray) -> bytes:
    if random.random() < 0.5:
        grow(content, len(file.current()))
    return bytes(content)


def _pieces(change: Change, block: int) -> Iterator[Change]:
    """A write cut at block boundaries of the file; a new length is one piece."""
    if isinstance(change, Resize):
        yield change
        return
    start, end = change.offset, change.offset + len(change.data)
    while start < end:
        stop = min(end, (start // block + 1) * block)
        yield Write(start, change.data[start - change.offset : stop - change.offset])
        start = stop


def crash(disk: Disk, outcome: Outcome) -> Tree:
    """What is found after a power cut."""
    files: dict[int, bytes] = {}
    reached: dict[int, bool] = {}

    def names(folder: Folder) -> list[bool]:
        """Which names have reached the disk, where the half of a rename that comes first decides for its twin."""
        for change, kept in zip(folder.pending, outcome.names(folder), strict=True):
            reached.setdefault(id(change), kept)
            if change.twin is not None:
                reached.setdefault(id(change.twin), reached[id(change)])
        return [reached[id(change)] for change in folder.pending]

    def walk(folder: Folder, above: bytes) -> Iterator[tuple[bytes, bytes | None]]:
        for name, inode in folder.kept(names(folder)).items():
            if isinstance(inode, Folder):
                yield above + name, None
                yield from walk(inode, above + name + b"/")
            else:
                if id(inode) not in files:
                    files[id(inode)] = outcome.content(inode)
                yield above + name, files[id(inode)]

    return dict(walk(disk.root, b""))


def crashes(disk: Disk, seed: str) -> Iterator[tuple[str, Tree]]:
    """The six kinds, the same ones for the same seed."""
    for kind in KINDS:
        yield kind.name, crash(disk, kind(Random(f"{seed} {kind.name}")))


def materialise(tree: Tree, root: Path) -> None:
    """Make a real folder of it.  Where one file has two names, ``crash`` gives both the same object."""
    top = os.fsencode(root)
    os.mkdir(top, 0o700)
    made: dict[int, bytes] = {}
    for path, content in tree.items():
        if content is None:
            os.mkdir(top + b"/" + path, 0o700)
            continue
        first = made.setdefault(id(content), path)
        if first != path and len(content) > 1:  # Python has but one object for each shorter one.
            os.link(top + b"/" + first, top + b"/" + path)
            continue
        fd = os.open(top + b"/" + path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(fd, "wb", buffering=0) as file:
            file.write(content)


def read_tree(root: Path, skip: Callable[[bytes], bool] = lambda _: False) -> Tree:
    """A real folder as a tree."""
    tree: Tree = {}
    top = os.fsencode(root)
    for folder, folders, files in os.walk(top):
        below = folder[len(top) + 1 :]
        for name in folders:
            tree[os.path.join(below, name)] = None
        for name in files:
            if not skip(name):
                with open(os.path.join(folder, name), "rb") as file:
                    tree[os.path.join(below, name)] = file.read()
    return tree
