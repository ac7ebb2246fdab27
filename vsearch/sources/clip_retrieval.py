"""The folders that clip-retrieval writes: vectors in parts, and beside each a table of what they are vectors of.

::

    img_emb/img_emb_0.npy        (n, dim) fp16 or fp32
    metadata/metadata_0.parquet  n rows: image_path, caption, and any other columns
    text_emb/text_emb_0.npy      vectors of the captions; not read: vsearch embeds captions when it needs them
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsearch.arguments import path_of
from vsearch.errors import SourceError
from vsearch.members.values import holds_vectors, values_of
from vsearch.sources.embedded import Embedded, placed
from vsearch.sources.img2dataset import Keys
from vsearch.sources.protocol import AnyPath
from vsearch.sources.vectors import read_npy

VECTORS, TABLES = "img_emb", "metadata"
PATH, CAPTION = "image_path", "caption"
# Left by pandas where the rows of a table had names.
_NO_COLUMN = re.compile(r"__index_level_\d+__")


@dataclass(frozen=True)
class Part:
    """A file of vectors, the table beside it, and how many rows both have."""

    vectors: Path
    table: Path
    count: int


@dataclass(frozen=True)
class ClipRetrieval:
    """A folder of clip-retrieval: ``dim`` numbers a vector, in parts that are read one at a time."""

    folder: Path
    parts: tuple[Part, ...]
    dim: int
    keys: Keys | None

    def __len__(self) -> int:
        return sum(part.count for part in self.parts)

    def __iter__(self) -> Iterator[Embedded]:
        return map(self.read, range(len(self.parts)))

    @property
    def name(self) -> str:
        """What errors call it."""
        return str(self.folder)

    def read(self, number: int) -> Embedded:
        """One part; its vectors stay on disk until they are used.  Raises SourceError."""
        part = self.parts[number]
        columns = _columns(part.table)
        told = columns.pop(PATH, None) or [None] * part.count
        names = [str(name) if name else f"{part.vectors.name}#{row}" for row, name in enumerate(told)]
        uris = [placed(name, self.keys) for name in names]
        return Embedded(uris, read_npy(part.vectors), columns, str(part.vectors))


def clip_retrieval(folder: AnyPath, *, pictures: AnyPath | None = None) -> ClipRetrieval:
    """Vectors that clip-retrieval made, with the names, captions and columns of its tables.

    folder: what was its output folder.  pictures: the folder that it read, where the tables have relative paths or,
    made from tars, nothing but keys; a key is looked for as img2dataset lays it out.
    All parts are compared with their tables before the first row is given.  Raises SourceError.
    """
    place = path_of(folder)
    tables = _numbered(place / TABLES, "metadata", ".parquet")
    parts, dims = [], set()
    for number, vectors in sorted(_numbered(place / VECTORS, VECTORS, ".npy").items()):
        table = tables.get(number)
        if table is None:
            raise SourceError(f"{vectors}: there is no {TABLES}/metadata_{number}.parquet beside it; bring it back")
        count, dim = read_npy(vectors).shape
        if (rows := _file(table).metadata.num_rows) != count:
            raise SourceError(f"{table}: has {rows:,} rows for the {count:,} vectors of {vectors.name}")
        parts.append(Part(vectors, table, count))
        dims.add(dim)
    if not parts:
        raise SourceError(
            f"{place}: holds no {VECTORS}/{VECTORS}_0.npy; name the folder that clip-retrieval inference wrote"
        )
    if len(dims) > 1:
        raise SourceError(f"{place}: has vectors of {' and '.join(map(str, sorted(dims)))} dimensions; keep one kind")
    return ClipRetrieval(place, tuple(parts), dims.pop(), None if pictures is None else Keys(pictures))


def _numbered(folder: Path, stem: str, ending: str) -> dict[int, Path]:
    """Files ``STEM_7ENDING`` by their numbers, which have zeros before them in larger collections."""
    form = re.compile(rf"{stem}_(\d+){re.escape(ending)}")
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SourceError(f"{folder}: cannot be read ({error.strerror or error})") from error
    return {int(found[1]): folder / name for name in names if (found := form.fullmatch(name))}


def _file(path: Path) -> Any:
    import pyarrow.parquet as parquet

    try:
        return parquet.ParquetFile(os.fspath(path))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:  # pyarrow's own errors are ValueErrors
        raise SourceError(f"{path}: is no whole Parquet file ({error})") from error


def _columns(path: Path) -> dict[str, list[Any]]:
    """All columns but those of vectors; what is not known is None, which pandas writes as NaN where numbers are."""
    file = _file(path)
    chosen = [
        field.name
        for field in file.schema_arrow
        if not holds_vectors(field.type) and not _NO_COLUMN.fullmatch(field.name)
    ]
    try:
        table = file.read(columns=chosen)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: is no whole Parquet file ({error})") from error
    return {
        name: [None if _is_nan(value) else value for value in values_of(column)]
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
