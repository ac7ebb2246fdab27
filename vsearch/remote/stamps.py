"""Which version of each file was copied, as its store tells versions: kept in a hidden file beside the copies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vsearch import files

FILE = ".vsearch-fetched.json"
# What stores call the version or the time of a file, the surest first.
_KEYS = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "updated", "mtime", "created")


def stamp_of(told: Mapping[str, Any]) -> str | None:
    """The version of a file by what its store says of it; None where it says nothing."""
    return next((f"{key} {told[key]}" for key in _KEYS if told.get(key)), None)


class Stamps:
    """The versions of the files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._known: dict[str, str] = {}
        # without it, files of the right size count as copied
        with suppress(OSError, ValueError, RecursionError):
            told = json.loads(self._path.read_text("utf-8"))
            told = told if isinstance(told, dict) else {}
            self._known = {name: stamp for name, stamp in told.items() if isinstance(stamp, str)}
        self._changed = False

    def allow(self, name: str, stamp: str | None) -> bool:
        """Whether a copy of the right size can be of this version."""
        return stamp is None or self._known.get(name, stamp) == stamp

    def put(self, name: str, stamp: str | None) -> None:
        """Remember the version of a copy."""
        if stamp is not None:
            self._known[name] = stamp
            self._changed = True

    def keep(self) -> None:
        """Write what is new.  Raises OSError."""
        if self._changed:
            body = json.dumps(self._known, sort_keys=True, ensure_ascii=True).encode()
            files.publish(self._path, lambda sink: sink.put(body))
