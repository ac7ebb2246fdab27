"""What an archive says of its pictures: texts and JSON beside them, joined by key as webdataset and img2dataset do."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from vsearch.errors import SourceError
from vsearch.members.entry import Entry, Part
from vsearch.members.reading import read
from vsearch.sources.cells import plain
from vsearch.sources.look import CAPTION_BYTES, clean_caption
from vsearch.sources.suffixes import suffix
from vsearch.types import Cell

MOST_JSON = 1 << 20
# What vsearch keeps in places of its own, or what says nothing of a picture that is there.
_NO_COLUMN = frozenset("key status error_message caption width height exif".split())
_MOST = {b".txt": CAPTION_BYTES, b".caption": CAPTION_BYTES, b".json": MOST_JSON}


def beside(fd: int, entries: Mapping[bytes, Part], name: bytes) -> tuple[str | None, dict[str, Cell] | None]:
    """The caption of a picture in an open archive, one line for each text, and its columns; None for what is not there.

    A text belongs to the picture of the same name but for the suffix; failing that, to those of the same name before
    the first dot, which webdataset calls the key.
    """
    folder, last = os.path.split(name)
    stem, key = name[: len(name) - len(suffix(last))], os.path.join(folder, last.partition(b".")[0])
    captions: dict[str, None] = {}
    columns: dict[str, Cell] | None = None
    for found in _named(entries, stem) or _named(entries, key):
        text, told = _read(fd, entries[found], suffix(found))
        if text is not None:
            captions[text] = None
        if told is not None:
            columns = told
    return "\n".join(captions) or None, columns


def _named(entries: Mapping[bytes, Part], stem: bytes) -> list[bytes]:
    return [stem + ending for ending in _MOST if stem + ending in entries]


def _read(fd: int, part: Part, ending: bytes) -> tuple[str | None, dict[str, Cell] | None]:
    if not isinstance(part, Entry) or part.size > _MOST[ending]:
        return None, None
    try:
        raw = read(fd, part)
    except (SourceError, OSError):  # a picture is not worth less for the damage beside it
        return None, None
    return _told(raw) if ending == b".json" else (clean_caption(raw), None)


def columns_of(values: Mapping[str, Any]) -> dict[str, Cell]:
    """The columns for filters of what is said of a picture."""
    return {str(name): plain(value) for name, value in values.items() if name not in _NO_COLUMN}


def _told(raw: bytes) -> tuple[str | None, dict[str, Cell] | None]:
    try:
        values: Any = json.loads(raw)
    except (ValueError, RecursionError):  # cut short, or never JSON
        return None, None
    if not isinstance(values, dict):
        return None, None
    caption = values.pop("caption", None)
    columns = columns_of(values)
    text = clean_caption(caption.encode("utf-8", "surrogatepass")) if isinstance(caption, str) else None
    return text, columns
