"""What this user's programs found out once and need not find out again, and what the user has agreed to.

Two folders hold it: the cache, which can be lost at any time and costs nothing but time, and the user's data.  Each
entry is a file of its own, written as a whole; it is believed only when it is whole and nobody else could have written
it.  A folder that cannot be written, or holds rubbish, changes no result.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from vsearch import files
from vsearch.errors import IndexNotWritable

MOST_BYTES = 1 << 16  # of an entry
_ENTRY = re.compile(r"[0-9a-f]{32}\.json")


class _Entry(msgspec.Struct):
    key: str
    value: Any
    sha256: str


@dataclass(frozen=True)
class Remembered:
    """Entries by kind and key.  variable: of the environment, names the folder instead of the user's own."""

    variable: str
    place: Literal["cache", "data"]

    @property
    def folder(self) -> Path:
        """Where the entries are; it may not be there."""
        if named := os.environ.get(self.variable):
            return Path(named)
        from platformdirs import user_cache_path, user_data_path

        return user_cache_path("vsearch") if self.place == "cache" else user_data_path("vsearch")

    def recall(self, kind: str, key: str) -> Any:
        """The value that was remembered for a key, None where there is none that can be believed."""
        path = self._path(kind, key)
        with suppress(OSError, msgspec.DecodeError):
            if not _is_ours(path.parent):
                return None
            with open(path, "rb", opener=files.plain) as file:
                entry = msgspec.json.decode(file.read(MOST_BYTES), type=_Entry)
            if entry.key == key and entry.sha256 == _sum(key, entry.value):
                return entry.value
        return None

    def remember(self, kind: str, key: str, value: Any) -> bool:
        """Keep a value that JSON can hold; return whether that could be done."""
        path = self._path(kind, key)
        raw = msgspec.json.encode(_Entry(key, value, _sum(key, value)))
        with suppress(OSError, IndexNotWritable):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_ours(path.parent):
                files.publish(path, lambda sink: sink.put(raw))
                return True
        return False

    def forget(self) -> int:
        """Drop all entries, and nothing else that may be in the folder; return how many there were."""
        dropped = 0
        for path in self.folder.glob("*/*.json"):
            with suppress(OSError):
                if _ENTRY.fullmatch(path.name) and _is_ours(path.parent):
                    path.unlink()
                    dropped += 1
        return dropped

    def _path(self, kind: str, key: str) -> Path:
        return self.folder / kind / f"{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.json"


CACHE = Remembered("VSEARCH_CACHE", "cache")
DATA = Remembered("VSEARCH_DATA", "data")


def _sum(key: str, value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode([key, value])).hexdigest()


def _is_ours(place: Path) -> bool:
    """Whether a folder belongs to this user, and nobody else may write in it."""
    status = os.stat(place, follow_symlinks=False)
    mode = stat.S_IMODE(status.st_mode)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not mode & 0o022
