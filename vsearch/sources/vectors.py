"""Vectors that were made elsewhere, in a .npy file, and what is known of them, in a table beside it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsearch.errors import SourceError
from vsearch.members.values import holds_vectors
from vsearch.members.values import rows_of as rows_of_batch
from vsearch.sources.cells import typed
from vsearch.sources.delimited import encodings_of, remarks, rows_of

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

# Tables that hold nothing but text: what a column holds is told from all of its values.
_TEXT_ONLY = (".csv", ".tsv")

Row = Mapping[str, Any]


@dataclass
class Meta:
    """What a table says of each vector, in order.  uris: empty when it has no column of them.

    remarks: in which encoding its texts were read, where that is not UTF-8.
    """

    uris: list[str] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


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
    """What a .parquet, .csv, .tsv or .jsonl table has for ``count`` vectors: uris, captions, sizes, other columns.

    The columns of .csv and .tsv are separated by what separates most of them in the first line.
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
    uris = [str(uri or "") for uri in columns.pop("uri", [])]
    if path.suffix.lower() not in _TEXT_ONLY:
        return Meta(uris, columns)
    columns = {name: values if name in COLUMNS else typed(values) for name, values in columns.items()}
    raw = os.fsencode(path)
    return Meta(uris, columns, remarks(raw, *encodings_of(raw)))


def _load(path: Path) -> NDArray[Any]:
    import numpy as np

    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # noqa: BLE001 - a damaged header makes numpy raise anything
        raise SourceError(f"{path}: is no whole .npy file of numbers; write one with numpy.save") from error
    if not isinstance(rows, np.ndarray):
        rows.close()
        raise SourceError(f"{path}: holds several arrays; write one with numpy.save")
    return rows


def _told(rows: NDArray[Any]) -> str:
    return f"{rows.dtype} of shape {rows.shape}"


def _columns(path: Path, rows: Iterable[Row]) -> dict[str, list[Any]]:
    """All columns, of which rows may lack some; those that are known by one of their names, by their first name."""
    kept: dict[str, list[Any]] = {}
    known: dict[str, str] = {}
    count = 0
    for row in rows:
        if count == 0:
            known = _known(path, row)
            kept = {name: [] for name in known.values()}
        for column, value in row.items():
            if column:  # A line of a .csv file may have more fields than its header.
                values = kept.setdefault(known.get(column, column), [])
                values += [None] * (count - len(values))
                values.append(None if isinstance(value, float) and math.isnan(value) else value)
        count += 1
    for values in kept.values():
        values += [None] * (count - len(values))
    return kept or {"uri": []}


def _known(path: Path, row: Row) -> dict[str, str]:
    """Column → the name that it is known by."""
    found = {name: next((c for c in known if c in row), None) for name, known in COLUMNS.items()}
    wanted = {column: name for name, column in found.items() if column is not None}
    if not wanted:
        known = ", ".join(column for columns in COLUMNS.values() for column in columns)
        raise SourceError(f"{path}: has the columns {', '.join(map(repr, row))}; none of these: {known}")
    return wanted


def _delimited(path: Path) -> Iterator[Row]:
    return rows_of(os.fsencode(path), COLUMNS["uri"])


def _jsonl(path: Path) -> Iterator[Row]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as stream:
        for number, line in enumerate(stream, 1):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise SourceError(f"{path}, line {number}: is no JSON ({error})") from error
            if not isinstance(row, dict):
                raise SourceError(f"{path}, line {number}: is no JSON object")
            yield row


def _parquet(path: Path) -> Iterator[Row]:
    from pyarrow import ArrowException, parquet

    try:
        file = parquet.ParquetFile(os.fspath(path))
        chosen = [field.name for field in file.schema_arrow if not holds_vectors(field.type)]
        for batch in file.iter_batches(columns=chosen):
            yield from rows_of_batch(batch)
    except (ValueError, ArrowException) as error:
        raise SourceError(f"{path}: is no whole Parquet file ({error})") from error


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".parquet": _parquet,
    ".csv": _delimited,
    ".tsv": _delimited,
    ".jsonl": _jsonl,
}
