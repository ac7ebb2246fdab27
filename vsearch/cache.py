"""What this user's programs found out once and need not find out again, kept in the user's cache folder.

Everything here can be lost: a folder that cannot be written, or holds rubbish, costs time and changes no result.  An
entry is believed only when it is whole and the folder is the user's own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from vsearch import files
from vsearch.errors import IndexNotWritable

VARIABLE = "VSEARCH_CACHE"
MOST_BYTES = 1 << 16  # of an entry


class _Entry(msgspec.Struct):
    key: str
    value: Any
    sha256: str


def folder() -> Path:
    """$VSEARCH_CACHE, else the user's cache folder for vsearch; it may not be there."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else _user_folder()


@cache
def _user_folder() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("vsearch")


def recall(kind: str, key: str) -> Any:
    """The value that was remembered for a key, None where there is none that can be believed."""
    path = _path(kind, key)
    with suppress(OSError, msgspec.DecodeError):
        if not _is_ours(path.parent):
            return None
        with open(path, "rb", opener=files.plain) as file:
            entry = msgspec.json.decode(file.read(MOST_BYTES), type=_Entry)
        if entry.key == key and entry.sha256 == _sum(key, entry.value):
            return entry.value
    return None


def remember(kind: str, key: str, value: Any) -> None:
    """Keep a value that JSON can hold.  Does nothing where nothing can be written."""
    path = _path(kind, key)
    raw = msgspec.json.encode(_Entry(key, value, _sum(key, value)))
    with suppress(OSError, IndexNotWritable):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _is_ours(path.parent):
            files.publish(path, lambda sink: sink.put(raw))


def forget() -> int:
    """Drop everything that was remembered; return how many entries there were."""
    there = [path for path in folder().glob("*/*.json") if not path.is_symlink()]
    for kind in {path.parent for path in there}:
        shutil.rmtree(kind, ignore_errors=True)
    return len(there)


def _path(kind: str, key: str) -> Path:
    return folder() / kind / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _sum(key: str, value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode([key, value])).hexdigest()


def _is_ours(place: Path) -> bool:
    """Whether a folder belongs to this user, and nobody else may write in it."""
    status = os.stat(place, follow_symlinks=False)
    mode = stat.S_IMODE(status.st_mode)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not mode & 0o022
