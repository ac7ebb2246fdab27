"""A collection without a query: what was indexed last comes first, page by page."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from vsearch.server import answers, schemas
from vsearch.server.faults import Refused

if TYPE_CHECKING:
    from vsearch.index import Index
    from vsearch.server.service import Service
    from vsearch.store import Snapshot

_PAST_ALL = 2**53


def browse(service: Service, asked: schemas.Similar) -> schemas.Answer:
    """List pictures, the newest ids first; a cursor goes on below the last one that was looked at.

    So pages fit together whatever is added or removed meanwhile.  Files of the same bytes are one picture, which
    stands where the newest of them does.
    """
    below = _PAST_ALL if asked.cursor is None else _last_of(asked.cursor)
    started = time.perf_counter()

    def answered(index: Index) -> schemas.Answer:
        with index.store.snapshot() as snapshot:
            ids = snapshot.live_ids()
            allowed = index.columns.matching(snapshot, asked.where)
            if allowed is not None:
                ids = ids[np.unpackbits(allowed, bitorder="little").astype(bool)[ids]]
            hits, last = _page(snapshot, ids[: np.searchsorted(ids, below)][::-1].tolist(), asked.k)
            now = answers.generation(snapshot)
        return schemas.Answer(hits, last, None, False, now, round(1000 * (time.perf_counter() - started), 3))

    return service.collection(asked.collection).ask(answered)


def _last_of(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 16):
        raise Refused(410, "CursorExpired", "this cursor is no longer known; ask again without one")
    return int(cursor)


def _page(snapshot: Snapshot, ids: list[int], k: int) -> tuple[list[schemas.Hit], str | None]:
    """The first k distinct pictures of some ids, and where to go on; None after the last."""
    roots, hits = snapshot.roots(), []
    for at, id in enumerate(ids):
        record = answers.record_of(snapshot, id)
        others = np.array([other for other in snapshot.with_content(record.content) if other != id], np.int64)
        copies = others[snapshot.is_live(others)]
        if (copies > id).any():
            continue
        size = (record.width, record.height)
        name = answers.name_below(record.path, roots)
        hits.append(schemas.Hit(id, None, None, name, *size, answers.text(record.caption), len(copies)))
        if len(hits) == k:
            return hits, str(id) if at + 1 < len(ids) else None
    return hits, None
