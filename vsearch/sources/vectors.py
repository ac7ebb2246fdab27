"""Vectors that were made elsewhere, in a .npy file, and what is known of them, in a table beside it."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsearch.errors import SourceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The first of these columns that a table has is taken.
COLUMNS = {
    "uri": ("uri", "url", "path", "filepath", "image_path"),
    "caption": ("caption", "title", "text"),
    "width": ("width", "original_width"),
    "height": ("height", "original_height"),
}

Row = Mapping[str, Any]


@dataclass
class Meta:
    """What a table says of each vector, in order.  uris: empty when it has no column of them."""

    uris: list[str] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)


def read_npy(path: Path) -> NDArray[np.floating]:
    """The (n, dim) floats of a .npy file, memory-mapped.  Raises SourceError; nothing in the file is ever run."""
    rows = _load(path)
    if rows.ndim != 2 or rows.dtype.kind != "f":
        raise SourceError(f"{path}: holds {_told(rows)}; one array of floats of shape (n, dim) is needed")
    return rows


def read_vector(path: Path) -> NDArray[np.floating]:
    """The one vector of a .npy file, of shape (dim,) or (1, dim).  Raises SourceError."""
    rows = _load(path)
    if rows.ndim == 2 and len(rows) == 1:
        rows = rows[0]
    if rows.ndim != 1 or rows.dtype.kind != "f":
        raise SourceError(f"{path}: holds {_told(rows)}; one vector of shape (dim,) is needed")
    return rows


def read_meta(path: Path, count: int) -> Meta:
    """The uris, captions and sizes that a .parquet, .csv, .tsv or .jsonl table has for ``count`` vectors.

    Raises SourceError, also when the table has another number of rows.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise SourceError(f"{path}: is no table that can be read; give one of {', '.join(_READERS)}")
    try:
        columns = _columns(path, reader(path))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error})") from error
    found = {len(values) for values in columns.values()}
    if found != {count}:
        raise SourceError(f"{path}: has {found.pop():,} rows for {count:,} vectors; give one for each, in their order")
    return Meta([str(uri or "") for uri in columns.pop("uri", [])], columns)


def _load(path: Path) -> NDArray[Any]:
    import numpy as np

    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, EOFError) as error:
        raise SourceError(f"{path}: is no whole .npy file of numbers; write one with numpy.save") from error
    if not isinstance(rows, np.ndarray):
        rows.close()
        raise SourceError(f"{path}: holds several arrays; write one with numpy.save")
    return rows


def _told(rows: NDArray[Any]) -> str:
    return f"{rows.dtype} of shape {rows.shape}"


def _columns(path: Path, rows: Iterable[Row]) -> dict[str, list[Any]]:
    """The columns that are known by one of their names, by their first name."""
    kept: dict[str, list[Any]] = {}
    wanted: dict[str, str] = {}
    for number, row in enumerate(rows):
        if number == 0:
            wanted = _wanted(path, row)
            kept = {name: [] for name in wanted}
        for name, column in wanted.items():
            value = row.get(column)
            kept[name].append(None if isinstance(value, float) and math.isnan(value) else value)
    return kept or {"uri": []}


def _wanted(path: Path, row: Row) -> dict[str, str]:
    found = {name: next((c for c in known if c in row), None) for name, known in COLUMNS.items()}
    wanted = {name: column for name, column in found.items() if column is not None}
    if not wanted:
        known = ", ".join(column for columns in COLUMNS.values() for column in columns)
        raise SourceError(f"{path}: has the columns {', '.join(map(repr, row))}; none of these: {known}")
    return wanted


def _delimited(separator: str) -> Callable[[Path], Iterator[Row]]:
    def read(path: Path) -> Iterator[Row]:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            reader = csv.DictReader(stream, delimiter=separator)
            try:
                yield from reader
            except csv.Error as error:
                raise SourceError(f"{path}, line {reader.line_num}: {error}") from error

    return read


def _jsonl(path: Path) -> Iterator[Row]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as stream:
        for number, line in enumerate(stream, 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise SourceError(f"{path}, line {number}: is no JSON ({error})") from error
            if not isinstance(row, dict):
                raise SourceError(f"{path}, line {number}: is no JSON object")
            yield row


def _parquet(path: Path) -> Iterator[Row]:
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        raise SourceError(
            f"{path}: reading Parquet needs pyarrow, which is not installed: pip install pyarrow, or give the table "
            "as .csv or .jsonl"
        ) from error
    try:
        file = parquet.ParquetFile(os.fspath(path))
        known = {column for columns in COLUMNS.values() for column in columns}
        chosen = [name for name in file.schema_arrow.names if name in known]
        for batch in file.iter_batches(columns=chosen or None):
            yield from batch.to_pylist()
    except ValueError as error:  # pyarrow's own errors are ValueErrors
        raise SourceError(f"{path}: is no whole Parquet file ({error})") from error


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".parquet": _parquet,
    ".csv": _delimited(","),
    ".tsv": _delimited("\t"),
    ".jsonl": _jsonl,
}
