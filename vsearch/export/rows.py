"""What is to be written, a part at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch.store import Snapshot
from vsearch.types import file_uri

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from vsearch.filters import Columns

    Ids = NDArray[np.int64]

# What tells only of this index, what a table cannot hold under its own name, and what is written apart.
_NOT_TOLD = frozenset(
    ("id", "added", "folder", "name", "ext", "size", "caption", "tags", "tag_confidences", "utc_offset")
)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote.  exported: pictures.  removed: rows that were there of pictures that are not here."""

    exported: int
    seconds: float = 0.0
    removed: int = 0


@dataclass(frozen=True)
class Part:
    """Pictures by id, ascending: their names, captions, and the columns that say anything of the collection."""

    ids: Ids
    names: list[str]
    captions: list[str | None]
    columns: dict[str, pa.Array]

    def values(self, column: str) -> list[Any]:
        """A column as values that JSON can hold: times in ISO 8601."""
        told = self.columns[column].to_pylist()
        return [value.isoformat() if hasattr(value, "isoformat") else value for value in told]


@dataclass(frozen=True)
class Rows:
    """The pictures of a snapshot that can be found, in id order, or those for which a filter holds.

    table: a row of columns for each.
    """

    snapshot: Snapshot
    ids: Ids
    table: pa.Table

    @classmethod
    def of(cls, snapshot: Snapshot, columns: Columns, where: str | None) -> Rows:
        """Raises FilterError, IndexCorrupt."""
        import pyarrow as pa
        import pyarrow.compute as pc

        ids = snapshot.live_ids()
        allowed = columns.matching(snapshot, where)
        if allowed is not None:
            ids = ids[np.unpackbits(allowed, bitorder="little")[ids].astype(bool)]
        told = columns.table(snapshot)
        told = told.filter(pc.is_in(told["id"], pa.array(ids)))
        columns_told = {name: _decoded(told[name]) for name in told.schema.names if name not in _NOT_TOLD}
        said = {name: array for name, array in columns_told.items() if array.null_count < len(array)}
        return cls(snapshot, ids, pa.table(said))

    def parts(self, rows: int) -> Iterator[Part]:
        """Parts of so many pictures; the last has fewer."""
        for first in range(0, len(self.ids), rows):
            ids = self.ids[first : first + rows]
            records = [self.snapshot.record(id) for id in ids.tolist()]
            told = self.table.slice(first, len(ids))
            yield Part(
                ids,
                [text_of(record.path) for record in records if record is not None],
                [record.caption for record in records if record is not None],
                {name: told[name].combine_chunks() for name in told.schema.names},
            )


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of codes as the texts that they stand for."""
    import pyarrow as pa

    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def text_of(path: bytes) -> str:
    """A path, or the URI of an imported vector, as text; a path that is not UTF-8 as its ``file://`` URI."""
    try:
        return path.decode()
    except UnicodeDecodeError:
        return file_uri(path)
