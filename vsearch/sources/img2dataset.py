"""What img2dataset writes: pictures by key, in folders or tars, and beside each of those a table.

::

    00000/000000012.jpg   the picture, with .txt (caption) and .json (all else) beside it; or in 00000.tar
    00000.parquet         a row for every key, failed ones too: key, status, url, caption, original_width, ...
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vsearch.arguments import path_of
from vsearch.errors import SourceError
from vsearch.members.values import rows_of
from vsearch.sources.archive import Archive, opened
from vsearch.sources.folder import Folder, folder
from vsearch.sources.probe import caption_of
from vsearch.sources.protocol import AnyPath
from vsearch.sources.sidecars import MOST_BYTES, columns_of, parsed, whole
from vsearch.types import Failure, Item, Settings

_READ = (b".json", b".parquet")


@dataclass(frozen=True)
class Img2dataset:
    """The pictures of such a folder, with their captions and the columns of its tables."""

    files: Folder

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The folder itself."""
        return self.files.roots

    @property
    def passed_by(self) -> Counter[bytes]:
        """What the folder passed by, but for what says something of the pictures."""
        return Counter({end: count for end, count in self.files.passed_by.items() if end not in _READ})

    @property
    def settings(self) -> dict[bytes, Settings]:
        """Those of the folder."""
        return self.files.settings

    @property
    def left_out(self) -> Counter[str]:
        """What the folder leaves out."""
        return self.files.left_out

    def __iter__(self) -> Iterator[Item | Failure]:
        """As a folder gives them.  Raises SourceError."""
        return opened(self.walk())

    def walk(self) -> Iterator[Item | Failure | Archive]:
        """The same, with archives themselves in place of their members: those are described by what lies in them."""
        tables = Tables()
        for one in self.files.walk():
            if isinstance(one, Item):
                yield from _described(one, tables)
            else:
                yield one


def img2dataset(path: AnyPath) -> Img2dataset:
    """Pictures that img2dataset fetched, in its files layout.  Raises SourceError when there is no such folder."""
    return Img2dataset(folder(path))


def has_tables(path: AnyPath) -> bool:
    """Whether a folder looks like img2dataset's: a numbered folder beside a table of the same number."""
    try:
        names = set(os.listdir(os.fsencode(path)))
    except OSError:
        return False  # whoever reads the folder says why it cannot be read
    numbers = (name.removesuffix(b".parquet") for name in names if name.endswith(b".parquet"))
    return any(number.isdigit() and number in names for number in numbers)


class Tables:
    """Rows by key of the table that was asked for last: pictures come shard by shard."""

    def __init__(self) -> None:
        self._shard = b""
        self._rows: dict[str, dict[str, Any]] = {}

    def row(self, shard: bytes, key: str) -> dict[str, Any]:
        """What the table of a shard, ``/data/00000``, says of a key; empty when there is none.

        Raises SourceError once for a table that cannot be read; then it says nothing.
        """
        if shard != self._shard:
            self._shard, self._rows = shard, {}
            self._rows = _rows(shard + b".parquet")
        return self._rows.get(key, {})


def _described(item: Item, tables: Tables) -> Iterator[Item | Failure]:
    """An item with what is said of it; what cannot be read of that is a failure of its own."""
    shard, name = os.path.split(item.path)
    stem = os.path.splitext(name)[0]
    row: dict[str, Any] = {}
    try:
        row = tables.row(shard, os.fsdecode(stem))
    except SourceError as error:
        yield Failure(shard + b".parquet", "scan", str(error))
    beside = os.path.join(shard, stem) + b".json"
    try:
        row = row or _beside(beside)
        columns = columns_of(row)
    except SourceError as error:
        yield Failure(beside, "scan", str(error))
        row = {}
    if row:
        item = replace(item, caption=item.caption or caption_of(row.get("caption")), columns=columns)
    yield item


def _rows(path: bytes) -> dict[str, dict[str, Any]]:
    if not os.path.isfile(path):
        return {}
    from pyarrow import ArrowException, parquet

    try:
        file = parquet.ParquetFile(os.fsdecode(path))
        names = [name for name in file.schema_arrow.names if name not in ("jpg", "txt")]
        rows = rows_of(file.read(columns=names))
    except (OSError, ValueError, ArrowException) as error:
        raise SourceError(f"is no whole Parquet file ({' '.join(str(error).split())[:200]}); bring it back") from error
    return {str(row["key"]): row for row in rows if "key" in row}


def _beside(path: bytes) -> dict[str, Any]:
    """The .json beside a picture; empty where there is none.  Raises SourceError for one that cannot be read."""
    try:
        if not os.path.isfile(path):  # nor waits for a pipe
            return {}
        with open(path, "rb") as stream:
            return parsed(whole(stream.read(MOST_BYTES + 1))) or {}
    except OSError as error:
        raise SourceError(f"cannot be read ({error.strerror})") from error


class Keys:
    """Finds pictures below a folder by relative path or, where there are shards, by key."""

    def __init__(self, folder: AnyPath) -> None:
        """Raises SourceError when there is no such folder."""
        self._folder = os.path.abspath(path_of(folder))
        try:
            names = sorted(os.listdir(self._folder))
        except OSError as error:
            raise SourceError(
                f"{self._folder}: cannot be read ({error.strerror}); name the folder of pictures"
            ) from error
        self._folders = {name for name in names if name.isdecimal()}
        self._tars = {name.removesuffix(".tar") for name in names if name.endswith(".tar")}
        self._widths = sorted({len(name) for name in self._folders | self._tars}, reverse=True)

    def find(self, name: str) -> Path | None:
        """The path of a picture; that of a member of a tar as ``TAR#MEMBER``, which is not looked for inside."""
        direct = os.path.join(self._folder, name)
        if os.path.isfile(direct):
            return Path(direct)
        for width in self._widths:
            shard = name[:width]
            file = os.path.join(self._folder, shard, name + ".jpg")
            if shard in self._folders and os.path.isfile(file):
                return Path(file)
            if shard in self._tars:
                return Path(os.path.join(self._folder, f"{shard}.tar#{name}.jpg"))
        return None
