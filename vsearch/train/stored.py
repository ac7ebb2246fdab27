"""Vectors that an index holds of the pictures to train on: what they look like is then known before training."""

from __future__ import annotations

import hashlib
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from vsearch.errors import SourceError, TrainError
from vsearch.members.lookup import bytes_of
from vsearch.store import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.store import Record, Snapshot
    from vsearch.train.pairs import Pairs
    from vsearch.types import Item


class StoredVectors:
    """Vectors of those pictures of some pairs that an index holds, as they were when this was made.

    digest: SHA-256, hex, of which pictures they are and of the vectors.
    """

    def __init__(self, place: Path, pairs: Pairs) -> None:
        """Raises IndexNotFound, IndexCorrupt, FormatTooNew."""
        self._place = place
        with closing(Store.open(place)) as store, store.snapshot() as snapshot:
            found = [(item.path, _id_of(snapshot, item)) for item in pairs.items]
            known = [(path, id) for path, id in found if id is not None]
            ids, rows = np.unique(np.array([id for _, id in known], np.int64), return_inverse=True)
            self._rows = snapshot.rows(ids)
        self._row = {path: int(row) for (path, _), row in zip(known, rows, strict=True)}
        told = hashlib.sha256(self._rows.tobytes())
        for path, row in self._row.items():
            told.update(b"%d\0%s\0" % (row, path))
        self.digest = told.hexdigest()

    def of(self, pairs: Pairs) -> NDArray[np.float16]:
        """Vectors of the pictures, (n, dim) of unit length.  Raises TrainError when it holds not all."""
        absent = [item.path for item in pairs.items if item.path not in self._row]
        if absent:
            raise TrainError(
                f"{self._place} does not hold {len(absent):,} of the {len(pairs):,} pictures to train on, as they are "
                f"now; the first: {os.fsdecode(absent[0])}. Index them, or leave out the look-alikes' index: they are "
                f"then found with the encoder that training starts from"
            )
        return self._rows[[self._row[item.path] for item in pairs.items]]


def _id_of(snapshot: Snapshot, item: Item) -> int | None:
    """The picture at that path if it is still the file that was indexed, else one with the same bytes."""
    id = snapshot.at_path(item.path)
    if id is not None and _is_still(snapshot.record(id), item):
        return id
    try:
        content = xxhash.xxh3_128_digest(bytes_of(item.path))
    except (OSError, SourceError):
        return None
    for other in snapshot.with_content(content):
        record = snapshot.record(other)
        if record is not None and not record.missing:
            return other
    return None


def _is_still(record: Record | None, item: Item) -> bool:
    """Whether a record tells of the file as it is now; one of imported vectors (size 0) tells of whatever is there."""
    if record is None or record.missing:
        return False
    return record.size == 0 or (record.size, record.mtime_ns) == (item.size, item.mtime_ns)
