"""Take in vectors that were made elsewhere: check them all, then commit them batch by batch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import numpy as np
import xxhash

from vsearch.arguments import check_list, written
from vsearch.bounds import LEAST, MOST_WHOLE, valid
from vsearch.errors import DimensionMismatch, SourceError
from vsearch.ingest.border import MOST_PATH
from vsearch.ingest.columns import with_columns
from vsearch.ingest.ondisk import recorded
from vsearch.sources.cells import plain
from vsearch.sources.probe import caption_of
from vsearch.sources.protocol import absolute
from vsearch.store import Addition, Batch, Record, Store
from vsearch.types import Cell, Details, Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Rows = NDArray[np.floating]

BATCH_ROWS = 8192
MAX_SIDE = (1 << 32) - 1
META = ("caption", "width", "height")

Uri = str | bytes | Path
Shower = Callable[[Progress], None]


def add_vectors(
    store: Store,
    uris: Sequence[Uri],
    vectors: Rows,
    meta: Mapping[str, Sequence[Any]],
    progress: Shower | None = None,
    *,
    on_disk: bool = False,
) -> Ids:
    """Store (n, dim) vectors under their uris; see ``Index.add_vectors``.

    on_disk: a picture that is there is recorded as ``Index.add`` would have, which then leaves it alone.
    """
    started = time.monotonic()
    check_rows(store.encoder_info.dim, uris, vectors, meta)
    ids: list[int] = []
    for first, block in _blocks(vectors):
        scaled = block / _lengths(block, first)
        rows = [_addition(uris, scaled, meta, first, row, on_disk) for row in range(len(block))]
        ids += store.commit(Batch(rows))
        if progress is not None:
            progress(Progress(len(ids), len(vectors), len(ids), 0, time.monotonic() - started))
    return np.array(ids, np.int64)


def check_rows(dim: int, uris: Sequence[Uri], vectors: Rows, meta: Mapping[str, Sequence[Any]]) -> None:
    """See whether all rows can be stored.  Raises DimensionMismatch or SourceError, with the number of a bad row."""
    _check_shapes(dim, uris, vectors, meta)
    for row, uri in enumerate(uris):
        _check_uri(row, uri)
    for column, values in meta.items():
        _check_column(column)
        for row, value in enumerate(values):
            _check_value(column, row, value)
    for first, block in _blocks(vectors):
        _lengths(block, first)


def name_of(uri: Uri) -> bytes:
    """The bytes under which a picture is kept: a path's own, absolute; a ``file://`` URI's path; any other as it is."""
    if isinstance(uri, Path):
        return absolute(uri)
    raw = uri if isinstance(uri, bytes) else os.fsencode(uri)
    return unquote_to_bytes(raw[len(b"file://") :]) if raw.startswith(b"file:///") else raw


def _check_shapes(dim: int, uris: Sequence[Uri], vectors: Rows, meta: Mapping[str, Sequence[Any]]) -> None:
    if not isinstance(vectors, np.ndarray):
        raise DimensionMismatch(f"vectors are an array of floats of shape (n, {dim}), and this is {written(vectors)}")
    if vectors.ndim != 2 or vectors.shape[1] != dim or vectors.dtype.kind != "f":
        raise DimensionMismatch(
            f"vectors of shape {vectors.shape} and type {vectors.dtype}; this index holds rows of {dim} floats"
        )
    if not isinstance(meta, Mapping):
        raise SourceError(f"meta are columns by their names, as in {{'caption': [...]}}, and this is {written(meta)}")
    for what, given in (("uris", uris), *meta.items()):
        check_list(given, f"the values of {written(what)}" if given is not uris else "uris", SourceError)
        if len(given) != len(vectors):
            raise SourceError(f"{len(given):,} {what} for {len(vectors):,} vectors; give one for each")


def _check_uri(row: int, uri: Uri) -> None:
    try:
        name = name_of(uri)
    except (TypeError, ValueError, SourceError) as error:  # no text, or one with a lone surrogate
        raise SourceError(f"the uri of row {row:,}, {written(uri)}, cannot be a name ({error}); mend it") from error
    if not 0 < len(name) <= MOST_PATH:
        raise SourceError(f"the uri of row {row:,} has {len(name):,} bytes; it has 1 to {MOST_PATH:,}")
    if b"\0" in name:
        raise SourceError(f"the uri of row {row:,} contains a zero byte: {written(uri)}; no file has such a name")


def _check_column(name: object) -> None:
    if not isinstance(name, str) or name != valid(name):
        raise SourceError(f"the name of a column is {written(name)}, which is no text that UTF-8 can hold; mend it")


def _check_value(column: str, row: int, value: Any) -> None:
    """Raise SourceError for what cannot be kept."""
    where = f"row {row:,} of the column {column!r}"
    try:
        cell = plain(value)
    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise SourceError(f"{where} cannot be read ({type(error).__name__}); give it as text") from error
    if column in ("width", "height"):
        _side(cell, row)
    if type(cell) is int and not LEAST <= cell <= MOST_WHOLE:
        raise SourceError(
            f"{where} has {written(cell)}; whole numbers are kept from {LEAST} to {MOST_WHOLE}: give it as text"
        )
    if isinstance(cell, str) and cell != valid(cell):
        raise SourceError(f"{where} is no text that UTF-8 can hold (a lone surrogate); mend it")


def _blocks(vectors: Rows) -> Iterator[tuple[int, NDArray[np.float64]]]:
    # float64: the square of a large float32 is not finite in float32.
    for first in range(0, len(vectors), BATCH_ROWS):
        yield first, np.asarray(vectors[first : first + BATCH_ROWS], np.float64)


def _lengths(block: NDArray[np.float64], first: int) -> NDArray[np.float64]:
    """Lengths of the rows, (n, 1).  Raises DimensionMismatch with the number of the first that has no direction."""
    lengths: NDArray[np.float64] = np.linalg.norm(block, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if bad.size:
        what = "zero" if lengths[bad[0]] == 0 else "not finite"
        raise DimensionMismatch(
            f"the vector of row {first + bad[0]:,} is {what}, and has no direction to search by; leave it out"
        )
    return lengths


def _addition(
    uris: Sequence[Uri],
    scaled: NDArray[np.float64],
    meta: Mapping[str, Sequence[Any]],
    first: int,
    row: int,
    on_disk: bool,
) -> Addition:
    name = name_of(uris[first + row])
    told = {key: meta[key][first + row] for key in meta}
    record = Record(
        path=name,
        content=xxhash.xxh3_128_digest(b"imported\0" + name),
        size=0,
        mtime_ns=0,
        ctime_ns=0,
        added_ns=time.time_ns(),
        width=_side(plain(told.get("width")), first + row),
        height=_side(plain(told.get("height")), first + row),
        caption=_caption(told.get("caption")),
    )
    if on_disk and name.startswith(b"/"):
        record = recorded(record)
    others = {key: plain(value) for key, value in told.items() if key not in META}
    return Addition(record, scaled[row].astype(np.float32), with_columns(Details(), others))


def _caption(value: Any) -> str | None:
    if isinstance(value, list):
        return caption_of(value)
    cell = plain(value)
    return str(cell) if cell else None


def _side(value: Cell, row: int) -> int:
    """A width or height in pixels, 0 where it is not known.  Raises SourceError."""
    if value is None or value == "":
        return 0
    try:
        side = int(value)
    except (ValueError, OverflowError):
        side = -1
    if not 0 <= side <= MAX_SIDE:
        raise SourceError(f"row {row:,} has a width or height of {written(value)}; it is a number of pixels")
    return side
