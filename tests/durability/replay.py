"""Drive the model disk with recorded system calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.durability.disk import Disk, File, Folder, Inode, Resize, Write, parts
from tests.durability.trace import Event, TraceError

_UNKNOWN = ("copy_file_range", "sendfile", "splice", "io_uring_setup", "msync", "symlink", "symlinkat")
_SHARED_MEMORY = b"/lock.mdb"


@dataclass(slots=True)
class Handle:
    """An open file description: dup shares it."""

    inode: Inode
    path: bytes
    append: bool = False
    dsync: bool = False
    position: int = 0


class Replay:
    """Replays events on a model disk and says, before anything becomes durable, that a power cut may come."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self.disk = disk or Disk()
        self._root = os.fsencode(root)
        self._handles: dict[int, Handle] = {}
        self._durable: Callable[[], None] | None = None

    def run(self, events: list[Event]) -> Iterator[Event]:
        """Yield each event that changed something or makes something durable, in between the two."""
        for event in events:
            self._durable = None
            self._apply(event)
            yield event
            if self._durable is not None:
                self._durable()

    def _apply(self, event: Event) -> None:
        if event.name in _UNKNOWN:
            self._refuse(event)
        handler = getattr(self, "_" + _SAME.get(event.name, event.name), None)
        if handler is not None:
            handler(event)

    def _refuse(self, event: Event) -> None:
        touched = any(self._inside(h.path) for h in self._named(event)) or event.name == "io_uring_setup"
        if touched or self._root in b"".join(_paths(event)):
            raise TraceError(f"the model disk does not know {event.name}{event.args}")

    def _named(self, event: Event) -> list[Handle]:
        fds = [arg.partition("<")[0] for arg in event.args]
        return [self._handles[int(fd)] for fd in fds if fd.isdigit() and int(fd) in self._handles]

    def _inside(self, path: bytes) -> bool:
        return path == self._root or path.startswith(self._root + b"/")

    def _relative(self, path: bytes) -> bytes | None:
        if not self._inside(path):
            return None
        if b".." in parts(path):
            raise TraceError(f"a path with .. : {path!r}")
        return path[len(self._root) :]

    # opening and closing

    def _openat(self, event: Event) -> None:
        self._open_at(event, event.path(1, folder=0), event.args[2])

    def _open(self, event: Event) -> None:
        self._open_at(event, event.path(0), event.args[1])

    def _creat(self, event: Event) -> None:
        self._open_at(event, event.path(0), "O_CREAT|O_WRONLY|O_TRUNC")

    def _open_at(self, event: Event, absolute: bytes, told: str) -> None:
        self._handles.pop(event.result, None)
        path = self._relative(absolute)
        if path is None:
            return
        flags = told.split("|")
        inode = self.disk.find(path)
        if inode is None:
            if "O_CREAT" not in flags:
                raise TraceError(f"{absolute!r} was opened but nothing made it")
            inode = File()
            self.disk.name(path, inode)
        elif "O_TRUNC" in flags and isinstance(inode, File) and inode.current():
            inode.pending.append(Resize(0))
        sync = "O_DSYNC" in flags or "O_SYNC" in flags
        self._handles[event.result] = Handle(inode, absolute, "O_APPEND" in flags, sync)

    def _close(self, event: Event) -> None:
        self._handles.pop(event.fd(0), None)

    def _dup(self, event: Event) -> None:
        self._share(event.fd(0), event.result)

    def _fcntl(self, event: Event) -> None:
        if event.args[1].startswith("F_DUPFD"):
            self._share(event.fd(0), event.result)

    def _share(self, old: int, new: int) -> None:
        self._handles.pop(new, None)
        if old in self._handles:
            self._handles[new] = self._handles[old]

    def _mmap(self, event: Event) -> None:
        handle = self._handle(event, 4) if event.args[4] != "-1" else None
        shared = "MAP_SHARED" in event.args[3] and "PROT_WRITE" in event.args[2]
        if handle is not None and shared and not handle.path.endswith(_SHARED_MEMORY):
            raise TraceError(f"the model disk cannot see writes through a memory map of {handle.path!r}")

    # content

    def _handle(self, event: Event, at: int = 0) -> Handle | None:
        return self._handles.get(event.fd(at))

    def _lseek(self, event: Event) -> None:
        handle = self._handle(event)
        if handle is not None:
            handle.position = event.result

    def _write(self, event: Event) -> None:
        handle = self._handle(event)
        if handle is None:
            return
        if handle.append:
            handle.position = len(_file(handle).current())
        self._put(handle, handle.position, event.data(1)[: event.result])
        handle.position += event.result

    def _pwrite64(self, event: Event) -> None:
        handle = self._handle(event)
        if handle is not None:
            self._put(handle, event.number(3), event.data(1)[: event.result])

    def _put(self, handle: Handle, offset: int, data: bytes) -> None:
        file = _file(handle)
        file.pending.append(Write(offset, data))
        if handle.dsync:
            self._durable = file.sync_last

    def _ftruncate(self, event: Event) -> None:
        handle = self._handle(event)
        if handle is not None:
            _file(handle).pending.append(Resize(event.number(1)))

    def _truncate(self, event: Event) -> None:
        path = self._relative(event.path(0))
        inode = self.disk.find(path) if path is not None else None
        if isinstance(inode, File):
            inode.pending.append(Resize(event.number(1)))

    def _fallocate(self, event: Event) -> None:
        handle = self._handle(event)
        if handle is None:
            return
        if event.args[1] != "0":
            raise TraceError(f"fallocate with mode {event.args[1]}")
        end = event.number(2) + event.number(3)
        if end > len(_file(handle).current()):
            _file(handle).pending.append(Resize(end))

    # durability

    def _fsync(self, event: Event) -> None:
        handle = self._handle(event)
        if handle is not None:
            self._durable = handle.inode.sync

    def _sync(self, event: Event) -> None:
        self._durable = self.disk.sync

    # names

    def _rename(self, event: Event) -> None:
        self._move(event.path(0), event.path(1))

    def _renameat(self, event: Event) -> None:
        if event.name == "renameat2" and event.args[4] not in ("0", "RENAME_NOREPLACE"):
            raise TraceError(f"renameat2 with {event.args[4]}")
        self._move(event.path(1, folder=0), event.path(3, folder=2))

    def _move(self, old: bytes, new: bytes) -> None:
        a, b = self._relative(old), self._relative(new)
        if (a is None) != (b is None):
            raise TraceError(f"a rename across the border: {old!r} to {new!r}")
        if a is not None and b is not None:
            self.disk.rename(a, b)

    def _unlink(self, event: Event) -> None:
        self._name(event.path(0), None)

    def _unlinkat(self, event: Event) -> None:
        self._name(event.path(1, folder=0), None)

    def _mkdir(self, event: Event) -> None:
        self._name(event.path(0), Folder())

    def _mkdirat(self, event: Event) -> None:
        self._name(event.path(1, folder=0), Folder())

    def _link(self, event: Event) -> None:
        self._second(event.path(0), event.path(1))

    def _linkat(self, event: Event) -> None:
        self._second(event.path(1, folder=0), event.path(3, folder=2))

    def _second(self, old: bytes, new: bytes) -> None:
        path = self._relative(old)
        if path is not None:
            self._name(new, self.disk.find(path))

    def _name(self, absolute: bytes, inode: Inode | None) -> None:
        path = self._relative(absolute)
        if path is not None:
            self.disk.name(path, inode)


_SAME = {
    "openat2": "openat",
    "dup2": "dup",
    "dup3": "dup",
    "writev": "write",
    "pwritev": "pwrite64",
    "pwritev2": "pwrite64",
    "fdatasync": "fsync",
    "syncfs": "sync",
    "renameat2": "renameat",
    "rmdir": "unlink",
}


def _file(handle: Handle) -> File:
    if not isinstance(handle.inode, File):
        raise TraceError(f"{handle.path!r} is a folder")
    return handle.inode


def _paths(event: Event) -> Iterator[bytes]:
    for at, arg in enumerate(event.args):
        if arg.startswith('"'):
            yield event.data(at)
