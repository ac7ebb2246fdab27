"""Read what ``strace -f -y -xx`` wrote: one event for each system call that succeeded."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CALLS = (
    "open openat openat2 creat close dup dup2 dup3 fcntl lseek write pwrite64 writev pwritev pwritev2 "
    "fsync fdatasync sync syncfs msync mmap ftruncate truncate fallocate rename renameat renameat2 unlink "
    "unlinkat link linkat symlink symlinkat mkdir mkdirat rmdir copy_file_range sendfile splice "
    "io_uring_setup clone clone3 fork vfork"
).split()

_HEAD = re.compile(r"^(\d+)\s+(.*)$")
_CALL = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+|\?|0x[0-9a-f]+)(.*)$", re.DOTALL)
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_FD = re.compile(r"^(-?\d+|AT_FDCWD)(?:<(.*)>(?:\(deleted\))?)?$")
_IOV = re.compile(r'iov_base=("[^"]*"(?:\.\.\.)?|NULL)')


class TraceError(Exception):
    """The recording cannot be understood, or shows a call that the model disk does not know."""


@dataclass(frozen=True, slots=True)
class Event:
    """A system call that succeeded: its name, its arguments as strace printed them, and what it returned."""

    pid: int
    name: str
    args: tuple[str, ...]
    result: int

    def number(self, at: int) -> int:
        """An argument that is a number."""
        return int(self.args[at], 0)

    def fd(self, at: int) -> int:
        """An argument that is a descriptor; -100 is the working directory."""
        told = _fd(self.args[at])[0]
        return -100 if told == "AT_FDCWD" else int(told)

    def data(self, at: int) -> bytes:
        """An argument that is a buffer, a path, or a list of buffers."""
        told = self.args[at]
        if told.startswith("["):
            return b"".join(_bytes(part) for part in _IOV.findall(told))
        return _bytes(told)

    def path(self, at: int, folder: int | None = None) -> bytes:
        """An argument that is a path, made absolute by the descriptor at ``folder``."""
        name = self.data(at)
        if name.startswith(b"/"):
            return name
        if folder is None:
            raise TraceError(f"{self.name} of a relative path: {name!r}")
        return _bytes(f'"{_fd(self.args[folder])[1]}"') + b"/" + name


def _fd(told: str) -> tuple[str, str]:
    found = _FD.match(told)
    if found is None:
        raise TraceError(f"not a descriptor: {told}")
    return found[1], found[2] or ""


def _bytes(told: str) -> bytes:
    if told.endswith("..."):
        raise TraceError("strace cut a string short; raise its -s")
    if told == "NULL":
        return b""
    return bytes.fromhex(told.strip('"').replace("\\x", ""))


def find_strace() -> str | None:
    """Where strace is, or None."""
    return shutil.which("strace")


def record(
    command: Sequence[str], out: Path, env: dict[str, str] | None = None, inject: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    """Start a command under strace, which writes to ``out``.  inject: as of ``strace -e inject``, what calls return."""
    options = ["-f", "-y", "-xx", "-s", "16777216", "-e", "trace=" + ",".join(CALLS), "-e", "signal=none"]
    options += [word for what in inject for word in ("-e", "inject=" + what)]
    strace = find_strace()
    if strace is None:
        raise TraceError("strace is not installed; type: apt-get install strace")
    return subprocess.Popen([strace, *options, "-o", str(out), *command], env=env)


def read_trace(path: Path) -> list[Event]:
    """Every event of the first process and its threads, in the order in which they ended.

    Other processes have descriptors of their own and are left out: the final comparison of the model with the
    real folder tells when one of them wrote.
    """
    with open(path, encoding="ascii") as lines:
        events = list(_events(lines))
    if not events:
        raise TraceError(f"{path} is empty: was strace allowed to trace?")
    ours = {events[0].pid}
    for event in events:
        if event.name.startswith("clone") and event.pid in ours and "CLONE_THREAD" in ",".join(event.args):
            ours.add(event.result)
    return [event for event in events if event.pid in ours]


def _events(lines: Iterator[str]) -> Iterator[Event]:
    begun: dict[int, str] = {}
    for line in lines:
        head = _HEAD.match(line.rstrip("\n"))
        if head is None:
            raise TraceError(f"not a line of strace: {line[:200]!r}")
        pid, told = int(head[1]), head[2]
        if told.startswith(("+++", "---")):
            continue
        if told.endswith(_UNFINISHED):
            begun[pid] = told.removesuffix(_UNFINISHED)
            continue
        resumed = _RESUMED.match(told)
        if resumed:
            told = begun.pop(pid) + resumed[2]
        event = _event(pid, told)
        if event is not None:
            yield event


def _event(pid: int, told: str) -> Event | None:
    call = _CALL.match(told)
    if call is None:
        raise TraceError(f"not a system call: {told[:200]!r}")
    name, args, result = call[1], call[2], call[3]
    if result == "?" or result.startswith("-"):
        return None
    return Event(pid, name, tuple(_split(args)), int(result, 0))


def _split(args: str) -> Iterator[str]:
    """Split at commas outside brackets; -xx leaves none inside strings."""
    depth, start = 0, 0
    for found in re.finditer(r"[][(){},]", args):
        mark, at = found[0], found.start()
        if mark in "[{(":
            depth += 1
        elif mark in "]})":
            depth -= 1
        elif depth == 0:
            yield args[start:at].strip()
            start = at + 1
    last = args[start:].strip()
    if last:
        yield last
