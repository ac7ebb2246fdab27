"""What the library returns, as values that a client may see."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from vsearch.bounds import valid
from vsearch.confidence import NOTHING
from vsearch.members.address import split
from vsearch.present.names import printable
from vsearch.server import schemas
from vsearch.server.opening import gone

if TYPE_CHECKING:
    from vsearch.index import Index
    from vsearch.server.cursors import Page
    from vsearch.store import Record, Snapshot
    from vsearch.types import Hit

DIGITS = 6  # float32 carries seven; more would be noise


def name_below(path: bytes, roots: tuple[bytes, ...]) -> str:
    """A path as clients see it: below the folder that was indexed, else its last part; a URI as it is."""
    if not path.startswith(b"/"):
        return printable(path.decode("utf-8", "replace"))
    root = next((r for r in roots if path.startswith(r)), None)
    if root is None:
        file = path if (pair := split(path)) is None else pair[0]
        root = file[: file.rfind(b"/") + 1]
    told = path[len(root) :]
    return printable(told.decode("utf-8", "replace"))


def finite(value: float | None) -> float | None:
    """A number that JSON can hold."""
    return None if value is None or not math.isfinite(value) else round(float(value), DIGITS)


def text(value: str | None) -> str | None:
    """A text that UTF-8 can hold."""
    return None if value is None else valid(value)


def hit(found: Hit, roots: tuple[bytes, ...]) -> schemas.Hit:
    """One result."""
    return schemas.Hit(
        found.id,
        finite(found.score),
        finite(found.confidence),
        name_below(found.raw_path, roots),
        found.width,
        found.height,
        text(found.caption),
        len(found.raw_copies),
    )


def page(index: Index, found: Page, milliseconds: float) -> schemas.Answer:
    """One page of results."""
    with index.store.snapshot() as snapshot:
        roots, now = snapshot.roots(), generation(snapshot)
    return schemas.Answer(
        [hit(one, roots) for one in found.hits],
        found.cursor,
        finite(found.best),
        found.best is not None and found.best < NOTHING,
        now,
        round(milliseconds, 3),
    )


def generation(snapshot: Snapshot) -> str:
    """A name for what a collection says now: another one after every change."""
    return f"{snapshot.head.identity[:8]}-{snapshot.txn_id}"


def record_of(snapshot: Snapshot, id: int) -> Record:
    """The record of a picture that may be shown.  Raises Refused (404)."""
    record = snapshot.record(id) if id < snapshot.head.next_id else None
    if record is None or record.missing:
        raise gone()
    return record


def item(index: Index, id: int) -> schemas.Item:
    """All that is known of one picture."""
    with index.store.snapshot() as snapshot:
        record, details, tags = record_of(snapshot, id), snapshot.details(id), snapshot.tags(id)
        roots = snapshot.roots()
        others = [snapshot.record(other) for other in snapshot.with_content(record.content) if other != id]
    seconds = None if details.taken is None else details.taken / 1e6
    meta = {valid(k): text(v) if isinstance(v, str) else _number(v) for k, v in details.columns.items()}
    return schemas.Item(
        id=id,
        name=name_below(record.path, roots),
        width=record.width,
        height=record.height,
        caption=text(record.caption),
        size=record.size,
        added=record.added_ns / 1e9,
        modified=record.mtime_ns / 1e9 if record.mtime_ns > 0 else None,
        taken=seconds,
        camera=text(details.camera),
        lens=text(details.lens),
        iso=details.iso,
        latitude=finite(details.latitude),
        longitude=finite(details.longitude),
        tags={valid(tag): round(confidence, DIGITS) for tag, confidence in tags},
        meta=meta,
        duplicates=sorted(name_below(other.path, roots) for other in others if other is not None and not other.missing),
    )


def _number(value: int | float | bool | None) -> int | float | bool | None:
    return finite(value) if isinstance(value, float) else value


def collection(index: Index, name: str, writable: bool, reranks: bool) -> schemas.Collection:
    """One index."""
    columns = [schemas.Column(valid(column), kind) for column, kind in index.columns.names().items()]
    with index.store.snapshot() as snapshot:
        shown, now = snapshot.shown, generation(snapshot)
    # The name of an encoder may be the path of a trained one.
    return schemas.Collection(name, shown, Path(index.encoder_info.name).name, writable, columns, now, reranks)
