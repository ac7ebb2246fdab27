"""Rows of a Parquet file with pictures in a column: img2dataset's and Hugging Face's, or of any file with one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from vsearch.errors import SourceError
from vsearch.members.entry import Fault, Member, Row
from vsearch.members.values import holds_bytes, holds_vectors, rows_of

PICTURES = ("jpg", "jpeg", "png", "webp", "image", "img", "image_bytes", "bytes")
CAPTIONS = ("caption", "text", "title")
KEYS = ("key", "__key__", "id")


def scan(file: BinaryIO, length: int) -> Iterator[Member | Fault]:
    """The rows that have a picture, by key, or by number where there are no keys.

    A row that says of itself that its download failed (img2dataset's ``status``) has none.
    Raises SourceError when the file cannot be read or has no column of pictures.
    """
    from pyarrow import ArrowException, parquet

    try:
        opened = parquet.ParquetFile(file)
        if opened.metadata.num_rows > length:
            raise SourceError(f"it says that it has {opened.metadata.num_rows:,} rows, in {length:,} bytes")
        column, others = _columns(opened.schema_arrow)
        keyed = _key(opened, others)
        number = 0
        for group in range(opened.num_row_groups):
            rows = rows_of(opened.read_row_group(group, columns=others)) if others else None
            for index in range(opened.metadata.row_group(group).num_rows):
                values: dict[str, Any] = rows[index] if rows is not None else {}
                name = str(values.pop(keyed)) if keyed else str(number)
                number += 1
                if values.get("status", "success") == "success":
                    caption = next((values.pop(c) for c in CAPTIONS if _is_caption(c, values)), None)
                    yield Member(name.encode(), Row("parquet", column, index, group), caption, values)
    except (ArrowException, OSError, ValueError, KeyError, OverflowError) as error:
        raise SourceError(f"not a Parquet file that can be read: {' '.join(str(error).split())[:200]}") from error


def _is_caption(column: str, values: dict[str, Any]) -> bool:
    """Whether a value is the caption: the first text or list of texts of these columns, or what ``caption`` holds."""
    value = values.get(column)
    texts = value if isinstance(value, list) else [value]
    return any(isinstance(text, str) for text in texts) or (column == CAPTIONS[0] and value is not None)


def _columns(schema: Any) -> tuple[str, list[str]]:
    """The column of pictures, and those of plain values.  Raises SourceError."""
    from pyarrow import types

    def is_binary(kind: Any) -> bool:
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    def holds_pictures(field: Any) -> bool:
        inside = field.type.get_field_index("bytes") if types.is_struct(field.type) else -1
        return is_binary(field.type) or (inside >= 0 and is_binary(field.type.field(inside).type))

    found = [field.name for field in schema if holds_pictures(field)]
    column = next((name for name in PICTURES if name in found), found[0] if len(found) == 1 else None)
    if column is None:
        told = ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise SourceError(f"no column of pictures: one of type binary, or a struct with bytes. It has: {told}"[:1000])
    plain = [f.name for f in schema if f.name != column and not holds_bytes(f.type) and not holds_vectors(f.type)]
    return column, plain


def _key(opened: Any, columns: list[str]) -> str | None:
    """The column whose values name the rows; None where there is none or two rows have one name."""
    name = next((key for key in KEYS if key in columns), None)
    if name is None:
        return None
    values = opened.read(columns=[name]).column(0)
    return name if values.null_count == 0 and len(values.unique()) == len(values) else None
