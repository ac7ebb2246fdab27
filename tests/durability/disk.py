"""A disk that forgets: what is durable, and what a power cut may still take away.

Files have a durable content and a list of changes since; directories have durable names and a list of changes
since.  fsync and fdatasync of a file make its changes durable, fsync of a directory those of its names: nothing
else does.  That is less than most file systems give and all that POSIX promises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

Tree = dict[bytes, bytes | None]
"""Relative path to content; None is a folder."""


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes at an offset."""

    offset: int
    data: bytes

    def apply(self, content: bytearray) -> None:
        """Change ``content`` as the write does; what lies between its old end and the offset is zero."""
        grow(content, self.offset)
        content[self.offset : self.offset + len(self.data)] = self.data


@dataclass(frozen=True, slots=True)
class Resize:
    """A new length: cut, or grown with zeros."""

    length: int

    def apply(self, content: bytearray) -> None:
        """Change ``content`` as ftruncate does."""
        grow(content, self.length)
        del content[self.length :]


Change = Write | Resize


def grow(content: bytearray, length: int) -> None:
    """Fill with zeros up to ``length``."""
    if len(content) < length:
        content.extend(bytes(length - len(content)))


@dataclass(eq=False, slots=True)
class File:
    """An inode that holds bytes."""

    durable: bytes = b""
    pending: list[Change] = field(default_factory=list)

    def current(self) -> bytes:
        """What a reader sees now."""
        content = bytearray(self.durable)
        for change in self.pending:
            change.apply(content)
        return bytes(content)

    def sync(self) -> None:
        """All that is pending has reached the disk."""
        if self.pending:
            self.durable = self.current()
            self.pending.clear()

    def sync_last(self) -> None:
        """The last write has reached the disk, those before it need not have (O_DSYNC)."""
        content = bytearray(self.durable)
        self.pending.pop().apply(content)
        self.durable = bytes(content)


@dataclass(eq=False, slots=True)
class Naming:
    """A change of a name that is not durable yet: an inode that gets it, or None, which takes it away.

    twin: the other half of a rename that no power cut can tear; None once either half is durable.
    """

    name: bytes
    inode: Inode | None
    twin: Naming | None = None


@dataclass(eq=False, slots=True)
class Folder:
    """An inode that holds names."""

    durable: dict[bytes, Inode] = field(default_factory=dict)
    pending: list[Naming] = field(default_factory=list)

    def current(self) -> dict[bytes, Inode]:
        """The names that a reader sees now."""
        return self.kept([True] * len(self.pending))

    def kept(self, which: list[bool]) -> dict[bytes, Inode]:
        """The names when only some of the pending changes have reached the disk."""
        names = dict(self.durable)
        for change, reached in zip(self.pending, which, strict=True):
            if reached and change.inode is None:
                names.pop(change.name, None)
            elif reached and change.inode is not None:
                names[change.name] = change.inode
        return names

    def sync(self) -> None:
        """All names have reached the disk; the other half of a rename need not have."""
        self.durable = self.current()
        for change in self.pending:
            if change.twin is not None:
                change.twin.twin = None
        self.pending.clear()


Inode = File | Folder


class Disk:
    """Everything under one folder, which is itself durable.

    start: what is there, and durable, at the beginning.  atomic: a power cut leaves both halves of a rename undone or
    done while neither was made durable, as journaling file systems do and POSIX does not promise.
    """

    def __init__(self, start: Tree | None = None, atomic: bool = False) -> None:
        self.root = Folder()
        self._atomic = atomic
        for path, content in (start or {}).items():
            self.name(path, Folder() if content is None else File(content))
            self.sync()

    def find(self, path: bytes) -> Inode | None:
        """The inode at a relative path, as a reader sees it now."""
        inode: Inode = self.root
        for name in parts(path):
            if not isinstance(inode, Folder) or name not in (names := inode.current()):
                return None
            inode = names[name]
        return inode

    def name(self, path: bytes, inode: Inode | None) -> Naming:
        """Give an inode a name, or take the name away."""
        *above, last = parts(path)
        folder = self.find(b"/".join(above))
        if not isinstance(folder, Folder):
            raise KeyError(path)
        folder.pending.append(change := Naming(last, inode))
        return change

    def rename(self, old: bytes, new: bytes) -> None:
        """Two changes of names; the one may reach the disk without the other, unless renames are atomic."""
        inode = self.find(old)
        there, gone = self.name(new, inode), self.name(old, None)
        if self._atomic:
            there.twin, gone.twin = gone, there

    def sync(self) -> None:
        """All of it has reached the disk."""
        for inode in self.inodes():
            inode.sync()

    def inodes(self) -> list[Inode]:
        """Every inode that has, had or may get back a name, in a fixed order."""
        found: dict[int, Inode] = {}
        stack: list[Inode] = [self.root]
        while stack:
            inode = stack.pop()
            if id(inode) in found:
                continue
            found[id(inode)] = inode
            if isinstance(inode, Folder):
                stack.extend(inode.durable.values())
                stack.extend(change.inode for change in inode.pending if change.inode is not None)
        return list(found.values())

    def tree(self) -> Tree:
        """What a reader sees now."""
        return dict(_walk(self.root, b""))


def _walk(folder: Folder, above: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    for name, inode in folder.current().items():
        path = above + name
        if isinstance(inode, Folder):
            yield path, None
            yield from _walk(inode, path + b"/")
        else:
            yield path, inode.current()


def parts(path: bytes) -> list[bytes]:
    """The names of a relative path."""
    return [name for name in path.split(b"/") if name not in (b"", b".")]
