"""What lies beside pictures and says something of them: texts and JSON, joined by key as webdataset does."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vsearch.bounds import whole_of
from vsearch.errors import SourceError
from vsearch.members.entry import Entry, Part
from vsearch.members.reading import read
from vsearch.sources.cells import storable
from vsearch.sources.probe import caption_of, clean_caption, spellings
from vsearch.sources.suffixes import suffix
from vsearch.types import Cell

MOST_BYTES = 1 << 20
_TOO_LONG = f"it has more than {MOST_BYTES:,} bytes, which is as much as is read of what is said of a picture"
SUFFIXES = (b".txt", b".caption", b".json")
# What vsearch keeps in places of its own, or what says nothing of a picture that is there.
_NO_COLUMN = frozenset("key status error_message caption width height exif".split())


@dataclass
class Said:
    """What sidecars say of a picture.  columns: None where there is no JSON.

    faults: name of a sidecar → why it cannot be read; the picture is not worth less for it.
    """

    caption: str | None = None
    columns: dict[str, Cell] | None = None
    faults: dict[bytes, str] = field(default_factory=dict)


def beside(fd: int, entries: Mapping[bytes, Part], name: bytes) -> Said:
    """What is said of a picture in an open archive; of captions, a line for each."""
    said = Said()
    captions: dict[str, None] = {}
    for sidecar in sidecars_of(entries, name):
        try:
            raw = _bytes(fd, entries[sidecar])
            caption = clean_caption(raw) if suffix(sidecar) != b".json" else _take(parsed(raw), said)
        except SourceError as error:
            said.faults[sidecar] = str(error)
        except OSError as error:
            said.faults[sidecar] = error.strerror or str(error)
        else:
            captions |= {caption: None} if caption else {}
    said.caption = "\n".join(captions) or None
    return said


def sidecars_of(names: Mapping[bytes, object], name: bytes) -> list[bytes]:
    """Those of some names that are sidecars of a picture.

    A text belongs to the picture of the same name but for the suffix; failing that, to those of the same name before
    the first dot, which webdataset calls the key.
    """
    folder, last = os.path.split(name)
    stem, key = name[: len(name) - len(suffix(last))], os.path.join(folder, last.partition(b".")[0])
    return _named(names, stem) or _named(names, key)


def _named(names: Mapping[bytes, object], stem: bytes) -> list[bytes]:
    spelled = (next((name for name in spellings(stem, ending) if name in names), None) for ending in SUFFIXES)
    return [name for name in spelled if name is not None]


def _bytes(fd: int, part: Part) -> bytes:
    """Raises SourceError, OSError."""
    if not isinstance(part, Entry):
        raise SourceError("not a file")
    if part.size > MOST_BYTES:
        raise SourceError(_TOO_LONG)
    return read(fd, part)


def whole(raw: bytes) -> bytes:
    """The bytes of a sidecar, unless there are too many.  Raises SourceError."""
    if len(raw) > MOST_BYTES:
        raise SourceError(_TOO_LONG)
    return raw


def parsed(raw: bytes) -> dict[str, Any] | None:
    """The values of a JSON object; None for JSON that is no object.  Raises SourceError for what is no JSON."""
    try:
        text = raw.decode(json.detect_encoding(raw), "replace").removeprefix("\ufeff")
        values = json.loads(text, parse_int=whole_of)
        return values if isinstance(values, dict) else None
    except (ValueError, RecursionError) as error:
        raise SourceError(f"it is no JSON that can be read: {' '.join(str(error).split())[:100]}") from error


def _take(values: dict[str, Any] | None, said: Said) -> str | None:
    """Take over the columns; return the caption."""
    if values is None:
        return None
    said.columns = columns_of(values)
    return caption_of(values.get("caption"))


def columns_of(values: Mapping[str, Any]) -> dict[str, Cell]:
    """The columns for filters of what is said of a picture.  Raises SourceError."""
    try:
        return {str(name): storable(value) for name, value in values.items() if name not in _NO_COLUMN}
    except RecursionError as error:
        raise SourceError("its values are nested too deeply") from error
