"""DuckDB, confined to one table: no files, no network, no extensions, no settings; little memory and little time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

from vsearch.errors import FilterError
from vsearch.filters.deadline import interrupted_after
from vsearch.filters.growth import VECTOR, rows_at_once
from vsearch.filters.language import Condition, Filter, Language, error
from vsearch.filters.lengths import Lengths
from vsearch.filters.schema import CODED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

SECONDS = 2.0
_SAID = 500
_LIMITS = (duckdb.InterruptException, duckdb.OutOfMemoryException)
_CONFINED: dict[str, str | bool | int | float | list[str]] = {
    "threads": "1",
    "memory_limit": "1GB",
    "temp_directory": "",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
}
# The parser puts the two columns before the arguments of these.
_MACROS = (
    "CREATE MACRO has_tag(tags, confidences, tag) AS coalesce(list_contains(tags, tag), false), "
    "(tags, confidences, tag, least) AS coalesce(confidences[list_position(tags, tag)] >= least, false)",
    "CREATE MACRO tag_confidence(tags, confidences, tag) AS coalesce(confidences[list_position(tags, tag)], 0)",
)


class Engine:
    """Answers filters over a table of columns with an ``id``, one at a time."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self._connection = duckdb.connect(":memory:", config=_CONFINED)
        for macro in _MACROS:
            self._connection.execute(macro)
        # The optimizer splits conditions and makes joins of long lists; what they leave of several vectors becomes one.
        # A filter that may not evaluate so many rows at once runs as it is written.
        self._unoptimized = self._connection.cursor()
        self._unoptimized.execute("SET SESSION enable_optimizer = false")
        # In this order: without external access no place for temporary files can be named, not even none.
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")
        self._language = Language(self._connection)
        self._lengths = Lengths(table)
        self._coded = {name: Codes(table, name) for name in table.schema.names if table.field(name).type == CODED}
        self.columns = _described(self._connection, table.schema)

    def close(self) -> None:
        """Let go of the table."""
        self._unoptimized.close()
        self._connection.close()

    def matching(self, where: str, length: int) -> tuple[Mask, bool]:
        """For which ids below ``length`` a filter holds, (length,) bool; and whether it will do so tomorrow.

        Raises FilterError, also when it takes longer than two seconds.
        """
        with self._in_time(where):
            told = self._language.parse(where, list(self.columns))
            whole = rows_at_once(told, self._lengths.of) == VECTOR
            try:
                return self._evaluate(told, whole, length), not told.changing
            except _LIMITS:
                raise
            except duckdb.Error as problem:
                raise self._explained(told, whole, problem, length) from problem

    @contextmanager
    def _in_time(self, where: str) -> Iterator[None]:
        try:
            with interrupted_after(SECONDS, self._interrupt):
                yield
        except duckdb.InterruptException as late:
            raise error(where, 0, f"this filter takes longer than {SECONDS:g} s") from late
        except duckdb.OutOfMemoryException as large:
            raise error(where, 0, f"this filter needs more than {_CONFINED['memory_limit']} of memory") from large

    def _interrupt(self) -> None:
        self._connection.interrupt()
        self._unoptimized.interrupt()

    def _evaluate(self, told: Filter, whole: bool, length: int) -> Mask:
        masks: list[Mask] = []
        rest: list[Condition] = []
        by_column: dict[str, list[Condition]] = {}
        for condition in told.conditions:
            (column,) = condition.columns if len(condition.columns) == 1 else ("",)
            if column in self._coded:
                by_column.setdefault(column, []).append(condition)
            else:
                rest.append(condition)
        for column, conditions in by_column.items():
            codes = self._coded[column]
            values = self._ids(codes.values, told.part(conditions), whole, len(codes.values))
            masks.append(codes.spread(values, length))
        if rest:
            masks.append(self._ids(self.table, told.part(rest), whole, length))
        for other in masks[1:]:
            masks[0] &= other
        return masks[0]

    def _ids(self, table: pa.Table, told: Filter, whole: bool, length: int) -> Mask:
        """Which ids below ``length`` a table has in rows that a filter lets through.

        whole: whether DuckDB may take as many rows at once as it likes.
        """
        connection = self._connection if whole else self._unoptimized
        table = table.select(_named(table, told))
        connection.register("columns", table if whole else _sliced(table, told))
        found = np.zeros(length, bool)
        for chunk in connection.sql(self._language.statement(told.conditions)).to_arrow_table().column("id").chunks:
            found[chunk.to_numpy()] = True
        return found

    def _explained(self, told: Filter, whole: bool, problem: duckdb.Error, length: int) -> FilterError:
        """The error, pointing at the condition that it comes from."""
        for condition in told.conditions:
            try:
                self._ids(self.table, told.part([condition]), whole, length)
            except _LIMITS:
                raise
            except duckdb.Error as own:
                return error(told.text, condition.position, _plain(own))
        return error(told.text, 0, _plain(problem))


class Codes:
    """A column of few distinct texts: a condition on it is asked once for each of them, not for each picture.

    values: table of all distinct values, null among them, with their codes as ``id``.
    """

    def __init__(self, table: pa.Table, name: str) -> None:
        known: dict[str | None, int] = {}
        self._chunks: list[tuple[NDArray[np.int64], NDArray[np.int16], NDArray[np.intp]]] = []
        for ids, chunk in zip(table.column("id").chunks, table.column(name).chunks, strict=True):
            own = [known.setdefault(value, len(known)) for value in chunk.dictionary.to_pylist()]
            self._chunks.append((ids.to_numpy(), chunk.indices.to_numpy(), np.array(own, np.intp)))
        self.values = pa.table({"id": np.arange(len(known)), name: pa.array(list(known), pa.string())})

    def spread(self, values: Mask, length: int) -> Mask:
        """From which values pass to which ids pass, (length,) bool."""
        out = np.zeros(length, bool)
        for ids, codes, own in self._chunks:
            here = values[own]
            if here.any():
                first, last = int(ids[0]), int(ids[-1]) + 1
                if last - first == len(ids):
                    np.take(here, codes, out=out[first:last], mode="clip")
                else:
                    out[ids] = here[codes]
        return out


def _described(connection: duckdb.DuckDBPyConnection, schema: pa.Schema) -> dict[str, str]:
    """What SQL calls the kind of each column.  DuckDB is asked once for a kind: tables have 50,000 columns."""
    kinds = list({field.type: None for field in schema})
    connection.register("kinds", pa.schema([(str(n), kind) for n, kind in enumerate(kinds)]).empty_table())
    rows = connection.execute("DESCRIBE kinds").fetchall()
    names = {kind: str(row[1]) for kind, row in zip(kinds, rows, strict=True)}
    return {field.name: names[field.type] for field in schema}


def _named(table: pa.Table, told: Filter) -> list[str]:
    """The columns of a table that a filter names, and ``id``: DuckDB would take up all that it is given."""
    names = {"id"}.union(*(condition.columns for condition in told.conditions))
    return [name for name in table.schema.names if name in names]


def _sliced(table: pa.Table, told: Filter) -> pa.RecordBatchReader:
    """A table in batches of as many rows as a filter may evaluate at once, which are vectors for DuckDB.

    Few rows in a block with a long text do not make them few elsewhere.
    """

    def batches() -> Iterator[pa.RecordBatch]:
        for block in table.to_batches():
            rows = rows_at_once(told, Lengths(pa.Table.from_batches([block])).of)
            yield from (block.slice(start, rows) for start in range(0, len(block), rows))

    return pa.RecordBatchReader.from_batches(table.schema, batches())


def _plain(problem: BaseException) -> str:
    """What DuckDB says, without its own kind of error and its own mark, nor all of a long text that it is about."""
    text = str(problem).split("\n")[0]
    head, colon, rest = text.partition(": ")
    text = rest if colon and head.endswith("Error") else text
    return text if len(text) <= _SAID else f"{text[:_SAID]} ..."
