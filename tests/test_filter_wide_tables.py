"""Filters over tables of very many columns."""

import duckdb
import pyarrow as pa
import pytest

from vsearch.errors import FilterError
from vsearch.filters.engine import Engine


def test_a_filter_over_a_table_of_50000_columns_reads_those_that_it_names(monkeypatch):
    """DuckDB, which takes seconds for so many columns, is never given a table of more than those."""
    count, widths = 50_000, []
    table = pa.table({"id": pa.array([0, 1, 2])} | {f"c{n}": pa.array([n, n + 1, n + 2]) for n in range(count)})
    connect = duckdb.connect

    def counting(*words: object, **options: object) -> Counting:
        return Counting(connect(*words, **options), widths)

    monkeypatch.setattr(duckdb, "connect", counting)
    engine = Engine(table)
    mask, _ = engine.matching("c4000 = 4001 or c49999 = 50001", 3)
    assert mask.tolist() == [False, True, True] and len(widths) > 1 and max(widths) <= 3
    assert list(engine.columns) == table.schema.names and set(engine.columns.values()) == {"BIGINT"}
    with pytest.raises(FilterError, match="there is no column 'c50000'(?s:.*) and 49,801 more$"):
        engine.matching("c50000 = 1", 3)
    engine.close()


class Counting:
    """A connection of DuckDB that notes how many columns each table has that it is given."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, widths: list[int]) -> None:
        self._connection, self._widths = connection, widths

    def register(self, name: str, table: pa.Table | pa.RecordBatchReader) -> None:
        self._widths.append(len(table.schema))
        self._connection.register(name, table)

    def cursor(self) -> "Counting":
        return Counting(self._connection.cursor(), self._widths)

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)
