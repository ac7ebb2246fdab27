"""Which system calls, as strace recorded them, change something outside the folders where that is allowed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

OPENS = "open openat openat2 creat".split()
NAMES = (
    "unlink unlinkat rename renameat renameat2 mkdir mkdirat rmdir link linkat symlink symlinkat truncate chmod "
    "fchmodat chown fchownat lchown utimensat utime utimes mknod mknodat setxattr lsetxattr"
).split()
WRITING = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND")
HARMLESS = (b"/dev/", b"/proc/self/", b"pipe:", b"socket:", b"anon_inode:", b"/memfd:")

_LINE = re.compile(r"^(\d+)\s+(\w+)\((.*)\)\s+= (\d+)(?:<([^>]*)>)?(?:\(deleted\))?$")
_BEGUN = re.compile(r"^(\d+)\s+(.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+)\s+<\.\.\. \w+ resumed>(.*)$")
_PATH = re.compile(r'(?:(AT_FDCWD|\d+)<([^>]*)>(?:\(deleted\))?, )?"((?:\\x[0-9a-f]{2})*)"')


def strace(out: Path) -> tuple[str, ...]:
    """The command that records a program, and all that it starts, for ``escapes``."""
    calls = ",".join([*OPENS, *NAMES, "execve"])
    return ("strace", "-f", "-y", "-xx", "-s", "8192", "-e", f"trace={calls}", "-e", "signal=none", "-o", str(out))


def escapes(lines: Sequence[str], allowed: Sequence[Path], links: dict[bytes, bytes]) -> list[str]:
    """The calls that succeeded in opening for writing, naming or removing what lies in no allowed folder.

    links: links that were planted there, and where each leads: a name behind one lies elsewhere.
    """
    inside = [os.fsencode(path) for path in allowed]
    return [
        f"{name} {path!r}"
        for name, path in _changes(_whole(lines))
        if not path.startswith(HARMLESS) and not any(_is_below(_through(path, links), place) for place in inside)
    ]


def removals(lines: Sequence[str]) -> list[bytes]:
    """What was removed, by its path."""
    return [path for name, path in _changes(_whole(lines)) if name in ("unlink", "unlinkat", "rmdir")]


def programs(lines: Sequence[str]) -> list[str]:
    """What was started."""
    return [
        os.fsdecode(_bytes(found[3]))
        for call in _whole(lines)
        if call[2] == "execve" and (found := _PATH.search(call[3]))
    ]


def _whole(lines: Sequence[str]) -> Iterator[re.Match[str]]:
    """Each call that succeeded, those that were interrupted by others put together."""
    begun: dict[str, str] = {}
    for line in lines:
        if unfinished := _BEGUN.match(line):
            begun[unfinished[1]] = line[: unfinished.end(2)]
            continue
        if resumed := _RESUMED.match(line):
            line = begun.pop(resumed[1], "") + resumed[2]
        if call := _LINE.match(line):
            yield call


def _changes(calls: Iterator[re.Match[str]]) -> Iterator[tuple[str, bytes]]:
    for call in calls:
        name, arguments, result = call[2], call[3], call[5]
        if name == "execve":
            continue
        if name in OPENS:
            if name == "creat" or WRITING.search(arguments):
                yield name, _bytes(result or "")  # where the file really is
            continue
        paths = list(_PATH.finditer(arguments))
        for found in paths[1:] if name.startswith("symlink") else paths:  # the first is what a link says
            yield name, os.path.normpath(os.path.join(_bytes(found[2] or ""), _bytes(found[3])))


def _through(path: bytes, links: dict[bytes, bytes]) -> bytes:
    for link, target in links.items():
        if path.startswith(link + b"/"):
            return target + path[len(link) :]
    return path


def _is_below(path: bytes, place: bytes) -> bool:
    return path == place or path.startswith(place + b"/")


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", "")) if "\\x" in text else text.encode()
