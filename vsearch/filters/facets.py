"""What the pictures of a filter have, and how many of them: folders, months, the frequent values of each column."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vsearch.store import Snapshot

if TYPE_CHECKING:
    from vsearch.filters.columns import Columns

MOST_VALUES = 20
MOST_FOLDERS = 500
# Columns that are nearly all different, or that have a facet of their own.
_APART = {"id", "taken", "added", "folder", "name", "caption", "tag_confidences"}
_APART |= {"width", "height", "size", "latitude", "longitude", "utc_offset"}

Pairs = list[tuple[str, int]]


@dataclass(frozen=True)
class Counts:
    """total: pictures that the filter lets through.

    folders: path with a slash at its end → pictures in it and below, in the order of paths, those with the most
    first kept when there are too many.  months: ``2024-07`` → pictures taken then, in order.  columns: name → its most
    frequent values.
    """

    total: int
    folders: Pairs
    months: Pairs
    columns: dict[str, Pairs] = field(default_factory=dict)


def count(columns: Columns, snapshot: Snapshot, where: str | None) -> Counts:
    """Count among the live pictures of a snapshot that a filter lets through.  Raises FilterError, IndexCorrupt."""
    allowed = columns.matching(snapshot, where)
    table = columns.table(snapshot)
    bits = snapshot.live if allowed is None else snapshot.live & allowed[: len(snapshot.live)]
    wanted = np.unpackbits(bits, bitorder="little").astype(bool)
    ids = table.column("id").to_numpy()
    kept = table.filter(pa.array(wanted[ids]))
    named = [name for name in kept.column_names if name not in _APART]
    return Counts(
        len(kept),
        _folders(kept.column("folder")),
        _months(kept.column("taken")),
        {name: pairs for name in named if (pairs := _frequent(kept.column(name)))},
    )


def _folders(column: pa.ChunkedArray) -> Pairs:
    """Each folder counts for all that it lies in."""
    sums: Counter[str] = Counter()
    for folder, number in _counted(column):
        parts = folder.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            sums["/".join(parts[:depth]) + "/"] += number
    return sorted(sums.most_common(MOST_FOLDERS))


def _months(column: pa.ChunkedArray) -> Pairs:
    return sorted(_counted(pc.strftime(column.drop_null(), format="%Y-%m")))


def _frequent(column: pa.ChunkedArray) -> Pairs:
    """The most frequent values, as text; none for a column without values, or without a value that is there twice."""
    if pa.types.is_list(column.type):
        column = pc.list_flatten(column)
    pairs = sorted(_counted(column), key=lambda pair: (-pair[1], pair[0]))[:MOST_VALUES]
    return pairs if pairs and pairs[0][1] > 1 else []


def _counted(column: pa.ChunkedArray) -> Pairs:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    told = pc.value_counts(column.drop_null()).to_pylist()
    return [(str(pair["values"]), pair["counts"]) for pair in told]
