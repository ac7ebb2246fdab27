"""The longest values of a table's columns, which tell what a filter over them may grow to."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vsearch.filters.rules import ELEMENT, SCALAR, Part


class Lengths:
    """Reads a column when it is asked for, once."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._known: dict[str, Part] = {}

    def of(self, name: str) -> Part:
        """What a column holds at most."""
        if name not in self._known:
            column = self._table.column(name)
            longest = max((_longest(chunk) for chunk in column.chunks), default=0)
            self._known[name] = Part(longest, listed=pa.types.is_list(column.type))
        return self._known[name]


def _longest(chunk: pa.Array) -> int:
    """Bytes of the longest value, written as a text."""
    if pa.types.is_dictionary(chunk.type):
        return _longest(chunk.dictionary)
    if pa.types.is_list(chunk.type):
        return _longest_list(chunk)
    if pa.types.is_string(chunk.type) or pa.types.is_large_string(chunk.type):
        return int(pc.max(pc.binary_length(chunk)).as_py() or 0)
    return SCALAR


def _longest_list(chunk: pa.ListArray) -> int:
    """Each element in quotes, with a backslash before each character at worst."""
    if not len(chunk) or chunk.values is None:
        return 0
    offsets = chunk.offsets.to_numpy()
    counts = np.diff(offsets)
    if not pa.types.is_string(chunk.values.type):
        return int(counts.max()) * (SCALAR + ELEMENT)
    sizes = pc.fill_null(pc.binary_length(chunk.values), 0).to_numpy()
    ends = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    return int((2 * (ends[offsets[1:]] - ends[offsets[:-1]]) + ELEMENT * counts).max()) + 2
