"""What comes in from sources, one by one: numbers and texts as they can be stored, else a failure of that picture."""

from __future__ import annotations

from dataclasses import replace

from vsearch.bounds import clamped, valid
from vsearch.types import Failure, Item

MOST_PATH = 0xFFFF  # bytes, what a record has room for


def bounded(item: Item) -> Item | Failure:
    """An item that can be stored: numbers of 64 bits, no lone surrogates in its caption.

    One whose path has no room in a record is a failure.  Columns are looked at where they are taken over.
    """
    if not 0 < len(item.path) <= MOST_PATH:
        return Failure(item.path, "scan", f"its path has {len(item.path):,} bytes; 1 to {MOST_PATH:,} are kept")
    size, mtime_ns, ctime_ns = max(clamped(item.size), 0), clamped(item.mtime_ns), clamped(item.ctime_ns)
    caption = None if item.caption is None else valid(item.caption)
    if (size, mtime_ns, ctime_ns, caption) == (item.size, item.mtime_ns, item.ctime_ns, item.caption):
        return item
    return replace(item, size=size, mtime_ns=mtime_ns, ctime_ns=ctime_ns, caption=caption)
