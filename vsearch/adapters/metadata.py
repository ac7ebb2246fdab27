"""What all adapters say of a picture, and how they take pictures in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vsearch.bounds import valid
from vsearch.errors import SourceError
from vsearch.present import path_fields
from vsearch.present.names import shown
from vsearch.sources.cells import plain
from vsearch.sources.probe import captioned, item_or_failure, scan_failure
from vsearch.sources.protocol import absolute
from vsearch.types import Cell, Failure, Item

if TYPE_CHECKING:
    from vsearch.index import Index
    from vsearch.store import Snapshot
    from vsearch.types import Hit


def metadata_of(hit: Hit) -> dict[str, Any]:
    """id, uri, path, width, height, rank, score (cosine), confidence, and copies where other files have the bytes.

    All of it can be written as JSON; ``path_b64`` stands beside a path that is not UTF-8.
    """
    copies = {"copies": [shown(path) for path in hit.raw_copies]} if hit.raw_copies else {}
    return {
        **_place(hit.id, hit.raw_path, hit.width, hit.height),
        "rank": hit.rank,
        "score": hit.score,
        "confidence": hit.confidence,
        **copies,
    }


def text_of(caption: str | None, path: bytes) -> str:
    """The caption, else the name of the file."""
    return valid(caption) if caption else shown(os.path.basename(path))


def known(index: Index, ids: Sequence[int]) -> list[tuple[int, str, dict[str, Any]]]:
    """Id, text and metadata of those pictures that are there."""
    told = []
    with index.store.snapshot() as snapshot:
        for id in ids:
            record = snapshot.record(id)
            if record is not None and not record.missing:
                place = _place(id, record.path, record.width, record.height)
                told.append((id, text_of(record.caption, record.path), place))
    return told


def _place(id: int, path: bytes, width: int, height: int) -> dict[str, Any]:
    return {"id": id, **path_fields(path), "width": width, "height": height}


def number_of(id: str) -> int:
    """The number of an id that other libraries keep as text; -1, which no picture has, for what cannot be one."""
    return int(id) if id.isascii() and id.isdecimal() and len(id) < 19 else -1


@dataclass(frozen=True)
class Described:
    """A source of picture files with a caption and columns for each."""

    rows: Sequence[tuple[str, str | None, dict[str, Any]]]

    @property
    def roots(self) -> tuple[bytes, ...]:
        """None: a list covers no folder."""
        return ()

    def __iter__(self) -> Iterator[Item | Failure]:
        """Look at each file."""
        for path, caption, columns in self.rows:
            yield from _items(absolute(path), caption, {name: plain(value) for name, value in columns.items()})


def _items(path: bytes, caption: str | None, columns: dict[str, Cell]) -> Iterator[Item | Failure]:
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        yield scan_failure(path, error)
        return
    for found in [item_or_failure(path, status, caption)] if caption else captioned(path, status):
        yield replace(found, columns=columns) if isinstance(found, Item) and columns else found


def _caption(snapshot: Snapshot, path: bytes) -> str | None:
    """What the index has as caption of the picture at a path."""
    id = snapshot.at_path(path)
    record = None if id is None else snapshot.record(id)
    return None if record is None else record.caption


def add(index: Index, rows: Sequence[tuple[str, str | None, dict[str, Any]]]) -> list[int]:
    """Add picture files with their captions and columns; return their ids, in the order given.

    Where no caption is given, one that the index has stays, and a new picture gets that of the .txt beside it.
    Raises SourceError, when all others are added, for those that could not be read.
    """
    with index.store.snapshot() as snapshot:
        told = [(path, caption or _caption(snapshot, absolute(path)), columns) for path, caption, columns in rows]
    report = index.add(Described(told))
    with index.store.snapshot() as snapshot:
        ids = [snapshot.at_path(absolute(path)) for path, _, _ in rows]
    lost = [path for (path, _, _), id in zip(rows, ids, strict=True) if id is None]
    if lost:
        why = report.failures[0].reason if report.failures else "it failed before and has not changed"
        raise SourceError(f"{len(lost)} of {len(rows)} pictures could not be added, {lost[0]!r} among them: {why}")
    return [id for id in ids if id is not None]
