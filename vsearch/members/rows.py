"""Single rows of tables and arrays, which lie in blocks that have to be read from their beginning.

The block of the row that was read last stays open, so that rows in ascending order cost one pass.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from vsearch.errors import SourceError
from vsearch.members.entry import Row, Stamp, stamp_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ROWS_AT_ONCE = 16


class _Block(Protocol):
    def at(self, index: int) -> bytes:
        """The picture in a row."""


_open: dict[tuple[Stamp, str, str, int], _Block] = {}  # at most one


def read(fd: int, row: Row) -> bytes:
    """The picture in a row as a file's bytes.  Raises SourceError."""
    key = (stamp_of(os.fstat(fd)), row.kind, row.name, row.group)
    try:
        if key not in _open:
            _open.clear()
            _open[key] = _BLOCKS[row.kind](f"/proc/self/fd/{fd}", row)
        return _open[key].at(row.index)
    except (SourceError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - each format's library has its own, and all mean damage
        _open.clear()
        raise SourceError(f"the row cannot be read: {' '.join(str(error).split())[:100]}") from error


class _Parquet:
    """A column in one row group."""

    def __init__(self, path: str, row: Row) -> None:
        self._path, self._row = path, row
        self._file: Any = None
        self._restart()

    def _restart(self) -> None:
        from pyarrow import parquet

        self._file = self._file or parquet.ParquetFile(self._path, buffer_size=1 << 20)
        given = {"columns": [self._row.name], "row_groups": [self._row.group], "use_threads": False}
        self._batches = self._file.iter_batches(_ROWS_AT_ONCE, **given)
        self._values: Any = []
        self._first = self._next = 0

    def at(self, index: int) -> bytes:
        if index < self._first:
            self._restart()
        while index >= self._next:
            batch = next(self._batches, None)
            if batch is None:
                raise SourceError("the file ends before this row does")
            self._values = batch.column(0)
            self._first, self._next = self._next, self._next + len(batch)
        value = self._values[index - self._first].as_py()
        value = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(value, bytes):
            raise SourceError("there is no picture in this row")
        return value


class _Npz:
    """An array in a zip."""

    def __init__(self, path: str, row: Row) -> None:
        from vsearch.members.npz import shape_of

        self._stream = zipfile.ZipFile(path).open(row.name)
        self._shape = shape_of(self._stream)
        self._start = self._stream.tell()

    def at(self, index: int) -> bytes:
        import numpy as np

        length = int(np.prod(self._shape[1:]))
        self._stream.seek(self._start + index * length)
        raw = self._stream.read(length)
        if len(raw) != length:
            raise SourceError("the file ends before this row does")
        return as_tiff(np.frombuffer(raw, np.uint8).reshape(self._shape[1:]))


class _Hdf5:
    """A dataset."""

    def __init__(self, path: str, row: Row) -> None:
        import h5py

        self._data = h5py.File(path, "r")[row.name]

    def at(self, index: int) -> bytes:
        return as_tiff(self._data[index])


_BLOCKS: dict[str, Callable[[str, Row], _Block]] = {"parquet": _Parquet, "npz": _Npz, "hdf5": _Hdf5}


def as_tiff(pixels: NDArray[np.uint8]) -> bytes:
    """(height, width) or (height, width, 1, 3 or 4) uint8 pixels as a TIFF without compression."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels).save(out, "TIFF")
    return out.getvalue()


def why_no_pictures(shape: tuple[int, ...], dtype: object) -> str | None:
    """Why an array cannot be one of pictures, N x H x W or N x H x W x 1, 3 or 4 of uint8; None when it can."""
    told = f"{' x '.join(map(str, shape)) or 'one value'} of {dtype}"
    good = len(shape) in (3, 4) and (len(shape) == 3 or shape[3] in (1, 3, 4)) and all(side > 0 for side in shape)
    return None if good and str(dtype) == "uint8" else f"{told}, and pictures are N x H x W x 3 of uint8"
