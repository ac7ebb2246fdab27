"""Columns of Arrow tables as values of Python.

Arrow holds what Python has no value for: nanoseconds, dates after the year 9999, texts that are not UTF-8.  One of them
must not cost the table.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

# Errors of Arrow are of these kinds too.
_FAILED = (ValueError, OverflowError, TypeError, KeyError, NotImplementedError)


def holds_vectors(kind: Any) -> bool:
    """Whether a type is that of lists of numbers: vectors, and nothing to filter by."""
    from pyarrow import types

    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(is_list and (types.is_floating(kind.value_type) or types.is_integer(kind.value_type)))


def holds_bytes(kind: Any) -> bool:
    """Whether there are bytes in a type, at any depth: pictures, as a rule, and nothing to filter by."""
    from pyarrow import types

    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return True
    return any(holds_bytes(kind.field(at).type) for at in range(kind.num_fields))


def rows_of(table: Any) -> list[dict[str, Any]]:
    """The rows of an Arrow table by the names of its columns."""
    columns = [values_of(column) for column in table.columns]
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)] or [
        {} for _ in range(table.num_rows)
    ]


def values_of(column: Any) -> list[Any]:
    """The values of an Arrow column.

    Nanoseconds are cut to microseconds; other values that Python lacks are text, as Arrow writes them, else None.
    """
    from pyarrow import types

    if types.is_duration(column.type) or types.is_time64(column.type):
        column = _microseconds(column)
    try:
        values: list[Any] = column.to_pylist()
    except _FAILED:
        values = [_value(scalar) for scalar in column]
    return values


def _microseconds(column: Any) -> Any:
    """Durations and times of a day, cut to microseconds; what has no room in 64 bits stays as it is."""
    import pyarrow as pa

    try:
        cut = pa.duration("us") if pa.types.is_duration(column.type) else pa.time64("us")
        return column.cast(cut, safe=False) if column.type.unit == "ns" else column
    except pa.ArrowInvalid:
        return column


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except _FAILED:
        return _substitute(scalar)


def _substitute(scalar: Any) -> Any:
    import pyarrow as pa

    scalar = scalar.value if isinstance(scalar, pa.DictionaryScalar) else scalar
    if isinstance(scalar, (pa.StringScalar, pa.LargeStringScalar, pa.StringViewScalar)):
        return bytes(scalar.as_buffer()).decode("utf-8", "replace")
    try:
        if pa.types.is_timestamp(scalar.type):
            scalar = scalar.cast(pa.timestamp(scalar.type.unit))  # in UTC: its zone may be one that nobody knows
            if scalar.type.unit == "ns":
                scalar = scalar.cast(pa.timestamp("us"), safe=False)
            with suppress(*_FAILED):
                return scalar.as_py()
        return scalar.cast(pa.string()).as_py()
    except _FAILED:
        return None
