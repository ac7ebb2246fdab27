"""The columns: what they are called, what they hold, and how a block of pictures becomes rows of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from vsearch.members.address import split
from vsearch.store import Record
from vsearch.types import Cell, Details, Tags

# A block has no more pictures than such codes have values; null has a code of its own.
CODED = pa.dictionary(pa.int16(), pa.string())
SCHEMA = pa.schema(
    {
        "id": pa.int64(),
        "taken": pa.timestamp("us"),
        "added": pa.timestamp("us"),
        "folder": CODED,
        "name": pa.large_string(),
        "ext": CODED,
        "width": pa.uint32(),
        "height": pa.uint32(),
        "size": pa.int64(),
        "camera": CODED,
        "lens": CODED,
        "iso": pa.int32(),
        "latitude": pa.float64(),
        "longitude": pa.float64(),
        "caption": pa.large_string(),
        "tags": pa.list_(pa.string()),
        "tag_confidences": pa.list_(pa.float32()),
        "utc_offset": pa.int16(),
    }
)
# From the narrowest on: of a column whose values differ in kind, each becomes text when numbers are not enough.
_KINDS: tuple[tuple[type, pa.DataType], ...] = ((bool, pa.bool_()), (int, pa.int64()), (float, pa.float64()))
_MOST_INT = 2**63

Row = tuple[int, Record, Details, Tags]


def batch(rows: Iterable[Row], roots: tuple[bytes, ...]) -> pa.RecordBatch:
    """Rows of columns, one for each picture, in the order given: those of ``SCHEMA``, then those of tables."""
    told = list(rows)
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for id, record, details, tags in told:
        for name, value in zip(SCHEMA.names, _values(id, record, details, tags, roots), strict=True):
            columns[name].append(value)
    arrays = [_array(columns[name], SCHEMA.field(name).type) for name in SCHEMA.names]
    fields = list(SCHEMA)
    for name in sorted({name for _, _, details, _ in told for name in details.columns}):
        array = own([details.columns.get(name) for _, _, details, _ in told])
        arrays.append(array)
        fields.append(pa.field(name, array.type))
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _values(id: int, record: Record, details: Details, tags: Tags, roots: tuple[bytes, ...]) -> tuple[Any, ...]:
    folder, name = place(record.path, roots)
    stem, dot, ext = name.rpartition(".")
    return (
        id,
        details.taken,
        record.added_ns // 1000,
        folder,
        name,
        ext.lower() if dot and stem else "",
        record.width or None,
        record.height or None,
        record.size or None,
        details.camera,
        details.lens,
        details.iso,
        details.latitude,
        details.longitude,
        record.caption,
        [tag for tag, _ in tags],
        [confidence for _, confidence in tags],
        details.offset,
    )


def place(path: bytes, roots: tuple[bytes, ...]) -> tuple[str, str]:
    """The folder of a path, relative to the root that it lies below, with a slash at its end; and its name."""
    root = next((r for r in roots if path.startswith(r)), b"")
    inside = path[len(root) :]
    if (pair := split(path)) is not None:  # an archive is like a folder
        inside = b"/".join(pair)[len(root) :]
    folder, slash, name = inside.rpartition(b"/")
    return (folder + slash).decode("utf-8", "replace"), name.decode("utf-8", "replace")


def _within(value: int | None, bits: int) -> int | None:
    return value if value is not None and -(1 << bits - 1) <= value < 1 << bits - 1 else None


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind == CODED:
        return coded(values)
    if pa.types.is_signed_integer(kind) or pa.types.is_timestamp(kind):  # what others wrote may be beyond every bound
        values = [_within(value, kind.bit_width) for value in values]
    return pa.array(values, kind)


def coded(texts: list[str | None]) -> pa.Array:
    """Texts as codes into the distinct ones of them."""
    told = pa.array(texts, pa.string()).dictionary_encode(null_encoding="encode")
    return pa.DictionaryArray.from_arrays(told.indices.cast(pa.int16()), told.dictionary)


def own(values: list[Cell]) -> pa.Array:
    """The column of a table: whole numbers, numbers, truth values, or text when they are of different kinds."""
    kinds = {type(value) for value in values if value is not None}
    large = any(isinstance(v, int) and not -_MOST_INT <= v < _MOST_INT for v in values)
    for kind, arrow in _KINDS:
        if kinds == {kind} and not large:
            return pa.array(values, arrow)
    if kinds <= {int, float} and kinds and not large:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    return pa.array([None if v is None else str(v) for v in values], pa.large_string())


def joined(batches: list[pa.RecordBatch]) -> pa.Table:
    """All blocks as one table: a column that a block lacks is null there, of different kinds is made of the widest."""
    kinds: dict[str, set[pa.DataType]] = {}
    for one in batches:
        for field in one.schema:
            kinds.setdefault(field.name, set()).add(field.type)
    schema = pa.schema([(name, widest(found)) for name, found in kinds.items()]) if kinds else SCHEMA
    if all(one.schema.equals(schema) for one in batches):
        return pa.Table.from_batches(batches, schema)
    return pa.Table.from_batches([_cast(one, schema) for one in batches], schema)


def widest(kinds: set[pa.DataType]) -> pa.DataType:
    """The kind that holds all values of these."""
    if len(kinds) == 1:
        return next(iter(kinds))
    return pa.float64() if kinds == {pa.int64(), pa.float64()} else pa.large_string()


def _cast(one: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    there = {name: one.column(i) for i, name in enumerate(one.schema.names)}
    arrays = []
    for field in schema:
        array = there.get(field.name)
        if array is None:
            array = pa.nulls(one.num_rows, field.type)
        arrays.append(array if array.type == field.type else array.cast(field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
