"""Where every file of a disk is, by a plain look at it, and whether that is right: each picture once, nothing lost."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.durability.moves import HOUSES, RIVAL, rivals_of


class Wrong(Exception):
    """What a look at a disk has found."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A file: its bytes, which file of the disk it is, and what else renaming must not change."""

    content: bytes
    inode: int
    mtime_ns: int
    mode: int


def scan(disk: Path) -> dict[bytes, Seen]:
    """All files of both folders, by path."""
    found = {}
    for above in ("photos", "out"):
        for folder, _, names in os.walk(os.fsencode(disk / above)):
            for name in names:
                path = os.path.join(folder, name)
                status = os.lstat(path)
                content = Path(os.fsdecode(path)).read_bytes() if stat.S_ISREG(status.st_mode) else b""
                found[path] = Seen(content, status.st_ino, status.st_mtime_ns, status.st_mode)
    return found


def journals(disk: Path) -> list[Path]:
    """Every journal of the folder."""
    return sorted((disk / "out").glob("vsearch-moved-*.jsonl"))


def has_whole_line(journal: Path) -> bool:
    """Whether there is anything to undo."""
    return any(_intended(journal))


def _intended(journal: Path) -> Iterator[tuple[bytes, bytes]]:
    """The moves that a journal names."""
    *lines, _ = journal.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if number == len(lines) and b"\0" in line:
            return  # A power cut: these bytes had not reached the disk.
        try:
            told = json.loads(line)
        except ValueError as error:
            raise Wrong(f"{journal} has a damaged line: {line!r}") from error
        yield _path(told["from"]), _path(told["to"])


def _path(told: str | dict[str, str]) -> bytes:
    return os.fsencode(told) if isinstance(told, str) else base64.b64decode(told["base64"])


class Before:
    """A disk as it was before anything was moved.

    inodes: whether files are told apart by more than their bytes; a disk made anew after a power cut has others.
    """

    def __init__(self, disk: Path, inodes: bool = True) -> None:
        self._disk = disk
        self._inodes = inodes
        self._files = scan(disk)
        self._rivals: set[bytes] = set()
        rivals_of(disk).unlink(missing_ok=True)
        folders = tuple(os.fsencode(disk / "photos" / house) for house in HOUSES)
        self.pictures = [path for path in self._files if path.startswith(folders) and path.endswith(b".png")]

    def problems(self) -> list[str]:
        """What is wrong now: a picture that is not at one of its two places, a file that changed or is nobody's."""
        now = scan(self._disk)
        places = self.places(now)
        wrong = [
            f"{path!r} is {len(at)} times there" for path, at in places.items() if len(self._files_at(now, at)) != 1
        ]
        known = {path for at in places.values() for path in at} | set(map(os.fsencode, journals(self._disk)))
        self._rivals |= {path for path, seen in now.items() if seen.content == RIVAL}
        if rivals_of(self._disk).exists():
            self._rivals |= set(rivals_of(self._disk).read_bytes().splitlines())
        others = self._files.keys() - set(self.pictures)
        wrong += [f"{path!r} has changed" for path in others if not self._same(path, now.get(path))]
        wrong += [f"{path!r} was overwritten" for path in self._rivals if path not in now or now[path].content != RIVAL]
        return wrong + [f"{path!r} is nobody's" for path in now.keys() - known - others - self._rivals]

    def places(self, now: dict[bytes, Seen]) -> dict[bytes, list[bytes]]:
        """Each picture, and where it is: where it was, or where a journal says that it was moved."""
        ends = {path: [path] for path in self.pictures}
        for journal in journals(self._disk):
            for source, target in _intended(journal):
                if target not in ends[source]:
                    ends[source].append(target)
        return {path: [end for end in at if self._same(path, now.get(end))] for path, at in ends.items()}

    def _files_at(self, now: dict[bytes, Seen], places: list[bytes]) -> set[int]:
        """The inodes: a move by links that was stopped has given one file two names."""
        return {now[place].inode for place in places}

    def _same(self, path: bytes, now: Seen | None) -> bool:
        old = self._files[path]
        return now is not None and (now == old if self._inodes else now.content == old.content)

    def changes(self) -> list[str]:
        """Everything in which the disk is not as it was, but for journals and what rivals have made in ``out``."""
        now, out = scan(self._disk), os.fsencode(self._disk / "out")
        made = {path for path in self._rivals if path.startswith(out)} | set(map(os.fsencode, journals(self._disk)))
        wrong = [f"{path!r} is not as it was" for path in self._files if not self._same(path, now.get(path))]
        return wrong + [f"{path!r} was not there" for path in now.keys() - self._files.keys() - made]

    def remove_rivals(self) -> list[str]:
        """Take away what rivals have put where pictures belong; returns those pictures."""
        there = sorted(self._rivals.intersection(self.pictures))
        for path in there:
            os.unlink(path)
        self._rivals.difference_update(there)
        rivals_of(self._disk).unlink(missing_ok=True)
        return [os.fsdecode(path) for path in there]
