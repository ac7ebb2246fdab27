"""A .npy file of vectors and the table beside it, as a source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vsearch.arguments import path_of
from vsearch.sources.embedded import Embedded, placed
from vsearch.sources.img2dataset import Keys
from vsearch.sources.protocol import AnyPath
from vsearch.sources.vectors import Meta, read_meta, read_npy


@dataclass(frozen=True)
class VectorFile:
    """``count`` vectors of ``dim`` numbers.  meta: what the table says of them, in their order."""

    file: Path
    meta: Meta
    count: int
    dim: int
    keys: Keys | None

    def __iter__(self) -> Iterator[Embedded]:
        return map(self.read, range(len(self.parts)))

    @property
    def name(self) -> str:
        """What errors call it."""
        return str(self.file)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be known of the table."""
        return self.meta.remarks

    @property
    def parts(self) -> tuple[Path, ...]:
        """The file is its only part."""
        return (self.file,)

    def __len__(self) -> int:
        return self.count

    def read(self, number: int) -> Embedded:
        """All of it; a row without a uri is called by the file and its number.  Raises SourceError."""
        given = self.meta.uris or [""] * self.count
        names = [uri or f"{self.file.name}#{row}" for row, uri in enumerate(given)]
        uris = [placed(name, self.keys) for name in names]
        return Embedded(uris, read_npy(self.parts[number]), self.meta.columns, self.name)


def vector_file(file: AnyPath, *, meta: AnyPath | None = None, pictures: AnyPath | None = None) -> VectorFile:
    """Vectors of a .npy file, (n, dim) floats of any length, with what a table says of each row.

    meta: a .parquet, .csv, .tsv or .jsonl table with n rows.  pictures: the folder of the pictures, where its paths
    are relative.  Raises SourceError.
    """
    place = path_of(file)
    count, dim = read_npy(place).shape
    told = read_meta(path_of(meta), count) if meta is not None else Meta()
    return VectorFile(place, told, count, dim, None if pictures is None else Keys(pictures))
