"""Every type of Arrow as it is kept: a column of each, its values written out by hand, and a row in the manual."""

from __future__ import annotations

import datetime as dt
import io
import re
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

import vsearch
from vsearch.members.values import values_of
from vsearch.sources.cells import storable

UTC = dt.UTC
DAY = dt.date(2024, 2, 29)
MOMENT = dt.datetime(2024, 2, 29, 12, 30, 15, 250000)
ZONED = dt.datetime(2024, 2, 29, 12, 30, tzinfo=UTC)
DOCS = Path(__file__).parent.parent / "docs" / "sources.md"


def decimals(kind: pa.DataType) -> pa.Array:
    return pa.array([Decimal("10.50"), Decimal("-3.25"), None], kind)


# id of the type → a column of it, and its values as they are to be kept
TYPES: dict[str, tuple[pa.Array, list[Any]]] = {
    "NA": (pa.nulls(2), [None, None]),
    "BOOL": (pa.array([True, None, False]), [True, None, False]),
    **{
        f"{sign}INT{bits}": (pa.array([7, None], f"{sign.lower()}int{bits}"), [7, None])
        for sign in ("", "U")
        for bits in (8, 16, 32, 64)
    },
    "HALF_FLOAT": (pa.array([np.float16(0.5), None], pa.float16()), [0.5, None]),
    "FLOAT": (pa.array([0.25, float("nan")], pa.float32()), [0.25, None]),
    "DOUBLE": (pa.array([1e300, float("inf")]), [1e300, float("inf")]),
    "DECIMAL32": (decimals(pa.decimal32(6, 2)), [10.5, -3.25, None]),
    "DECIMAL64": (decimals(pa.decimal64(12, 2)), [10.5, -3.25, None]),
    "DECIMAL128": (decimals(pa.decimal128(20, 2)), [10.5, -3.25, None]),
    "DECIMAL256": (decimals(pa.decimal256(60, 2)), [10.5, -3.25, None]),
    "STRING": (pa.array(["Café", "", None]), ["Café", "", None]),
    "LARGE_STRING": (pa.array(["Café", None], pa.large_string()), ["Café", None]),
    "STRING_VIEW": (pa.array(["Café", None], pa.string_view()), ["Café", None]),
    "BINARY": (pa.array([b"caf\xe9", None]), ["caf\ufffd", None]),
    "LARGE_BINARY": (pa.array([b"cafe"], pa.large_binary()), ["cafe"]),
    "BINARY_VIEW": (pa.array([b"cafe"], pa.binary_view()), ["cafe"]),
    "FIXED_SIZE_BINARY": (pa.array([b"abcd"], pa.binary(4)), ["abcd"]),
    "DATE32": (pa.array([DAY, None], pa.date32()), ["2024-02-29", None]),
    "DATE64": (pa.array([DAY, None], pa.date64()), ["2024-02-29", None]),
    "TIME32": (pa.array([dt.time(12, 30), None], pa.time32("s")), ["12:30:00", None]),
    "TIME64": (pa.array([dt.time(12, 30, 0, 5)], pa.time64("us")), ["12:30:00.000005"]),
    "TIMESTAMP": (pa.array([MOMENT, None], pa.timestamp("ms")), ["2024-02-29T12:30:15.250000", None]),
    "DURATION": (pa.array([dt.timedelta(hours=1, milliseconds=5)], pa.duration("ms")), [3600.005]),
    "INTERVAL_MONTH_DAY_NANO": (
        pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
        ["MonthDayNano(months=1, days=2, nanoseconds=3)"],
    ),
    "LIST": (pa.array([["a", "b"], [], None]), ['["a", "b"]', "[]", None]),
    "LARGE_LIST": (pa.array([[True]], pa.large_list(pa.bool_())), ["[true]"]),
    "LIST_VIEW": (pa.array([["a"]], pa.list_view(pa.string())), ['["a"]']),
    "LARGE_LIST_VIEW": (pa.array([["a"]], pa.large_list_view(pa.string())), ['["a"]']),
    "FIXED_SIZE_LIST": (pa.array([["a", "b"]], pa.list_(pa.string(), 2)), ['["a", "b"]']),
    "STRUCT": (
        pa.array([{"at": DAY, "price": Decimal("1.5")}]),
        ['{"at": "2024-02-29", "price": 1.5}'],
    ),
    "MAP": (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int32())), ['[["a", 1]]']),
    "DICTIONARY": (pa.array(["red", None, "red"]).dictionary_encode(), ["red", None, "red"]),
    "RUN_END_ENCODED": (pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), ["a", "b"]), ["a", "a", "b"]),
    "SPARSE_UNION": (
        pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]),
        [1, "b"],
    ),
    "DENSE_UNION": (
        pa.UnionArray.from_dense(
            pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32()), [pa.array([1]), pa.array(["b"])]
        ),
        [1, "b"],
    ),
}
# What values of these types may be besides.
MORE: dict[str, tuple[pa.Array, list[Any]]] = {
    "whole decimals": (pa.array([Decimal(7), None], pa.decimal128(20, 0)), [7, None]),
    "decimals in thousands": (pa.array([Decimal("7000")], pa.decimal128(5, -3)), [7000]),
    "decimals beyond 64 bits": (pa.array([Decimal(10**30)], pa.decimal128(38, 0)), [str(10**30)]),
    "nanoseconds": (pa.array([1_700_000_000_123_456_789], pa.timestamp("ns")), ["2023-11-14T22:13:20.123456"]),
    "zones": (pa.array([ZONED], pa.timestamp("us", "UTC")), ["2024-02-29T12:30:00+00:00"]),
    "unknown zones": (pa.array([0], pa.timestamp("us", "Mars/Olympus")), ["1970-01-01T00:00:00"]),
    "nanoseconds of a day": (pa.array([1_000_000_001], pa.time64("ns")), ["00:00:01"]),
    "durations in nanoseconds": (pa.array([1_500_000_001], pa.duration("ns")), [1.5]),
    "late dates": (pa.array([10**7], pa.date32()), ["29349-01-26"]),
    "whole numbers of 64 bits": (pa.array([2**64 - 1], pa.uint64()), [2**64 - 1]),
    "other texts": (pa.array([b"caf\xe9"]).view(pa.string()), ["caf\ufffd"]),
    "uuids": (
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"\0" * 15 + b"\1"], pa.binary(16))),
        [str(uuid.UUID(int=1))],
    ),
    "lists of decimals and dates": (
        pa.array([[{"price": Decimal("2.5"), "at": MOMENT}]]),
        ['[{"price": 2.5, "at": "2024-02-29T12:30:15.250000"}]'],
    ),
}
# Of these Arrow for Python makes no arrays.
NOT_IN_PYTHON = {"INTERVAL_DAY_TIME", "INTERVAL_MONTHS"}


@pytest.mark.parametrize("name", [*TYPES, *MORE])
def test_a_column_of_each_type_is_kept_as_the_manual_says(name):
    column, wanted = (TYPES | MORE)[name]
    kept = [storable(value) for value in values_of(pa.chunked_array([column]))]
    assert kept == wanted
    assert list(map(type, kept)) == list(map(type, wanted))


def test_no_type_of_arrow_is_forgotten():
    there = {name.removeprefix("Type_"): getattr(pa.lib, name) for name in dir(pa.lib) if name.startswith("Type_")}
    assert TYPES.keys() | NOT_IN_PYTHON == there.keys()
    assert {name: column.type.id for name, (column, _) in TYPES.items()} == {name: there[name] for name in TYPES}
    manual = DOCS.read_text("utf-8")
    table = manual[manual.index("| type of Arrow |") :].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == {name.lower() for name in TYPES}


def jpeg(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture
def table() -> pa.Table:
    """Two pictures with captions in lists, prices in decimals, and columns that are none."""
    return pa.table(
        {
            "image": [{"bytes": jpeg("red"), "path": "a"}, {"bytes": jpeg("blue"), "path": "b"}],
            "caption": [["a dog", None, "a brown dog"], ["a cat"]],
            "price": pa.array([Decimal("5.50"), Decimal("14.50")], pa.decimal128(10, 2)),
            "tags": [["x", "y"], None],
            "vector": [[1.0, 2.0], [3.0, 4.0]],
            "mask": [[b"\0"], [b"\1"]],
        }
    )


def test_prices_are_compared_as_numbers_and_lists_of_captions_are_lines(tmp_path, table):
    parquet.write_table(table, tmp_path / "t.parquet")
    with vsearch.create(tmp_path / "i.vsearch", "toy") as index:
        assert index.add(vsearch.archive(tmp_path / "t.parquet")).added == 2
        cheap = [price for price in table["price"].to_pylist() if price < 10]
        assert len(index.search("red", where="price < 10")) == len(cheap) == 1
        assert {hit.caption for hit in index.search("red")} == {"a dog\na brown dog", "a cat"}
        columns = index.info()["columns"]
        assert "tags_" in columns and not {"vector", "mask"} & columns.keys()


@pytest.mark.parametrize("name", ["m.parquet", "m.jsonl"])
def test_so_they_are_beside_vectors(tmp_path, table, name):
    np.save(tmp_path / "v.npy", np.eye(2, 64, dtype=np.float32))
    meta = table.select(["caption", "price"])
    if name == "m.parquet":
        parquet.write_table(meta, tmp_path / name)
    else:
        (tmp_path / name).write_text('{"caption": ["a dog", "a brown dog"], "price": 5.5}\n{"caption": "a cat"}\n')
    with vsearch.create(tmp_path / "i.vsearch", "external:m:64") as index:
        index.add_embedded(vsearch.vector_file(tmp_path / "v.npy", meta=tmp_path / name))
        told = {hit.caption for hit in index.search(np.ones(64, np.float32))}
        assert told == {"a dog\na brown dog", "a cat"}
        assert len(index.search(np.ones(64, np.float32), where="price < 10")) == 1
