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

from vsearch.errors import DimensionMismatch, SourceError
from vsearch.ingest.columns import with_columns
from vsearch.ingest.ondisk import recorded
from vsearch.sources.cells import plain
from vsearch.store import Addition, Batch, Record, Store
from vsearch.types import Details, Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Rows = NDArray[np.floating]

BATCH_ROWS = 8192
MAX_NAME = 0xFFFF  # bytes, what a record has room for
MAX_SIDE = (1 << 32) - 1
LEAST_INT, MOST_INT = -(1 << 63), (1 << 64) - 1  # what msgpack holds
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
    _check_shapes(store.encoder_info.dim, uris, vectors, meta)
    for first, block in _blocks(vectors):
        _lengths(block, first)
    ids: list[int] = []
    for first, block in _blocks(vectors):
        scaled = block / _lengths(block, first)
        rows = [_addition(uris, scaled, meta, first, row, on_disk) for row in range(len(block))]
        ids += store.commit(Batch(rows))
        if progress is not None:
            progress(Progress(len(ids), len(vectors), len(ids), 0, time.monotonic() - started))
    return np.array(ids, np.int64)


def name_of(uri: Uri) -> bytes:
    """The bytes under which a picture is kept: a path's own, absolute; a ``file://`` URI's path; any other as it is."""
    if isinstance(uri, Path):
        return os.fsencode(os.path.abspath(uri))
    raw = uri if isinstance(uri, bytes) else os.fsencode(uri)
    return unquote_to_bytes(raw[len(b"file://") :]) if raw.startswith(b"file:///") else raw


def _check_shapes(dim: int, uris: Sequence[Uri], vectors: Rows, meta: Mapping[str, Sequence[Any]]) -> None:
    if vectors.ndim != 2 or vectors.shape[1] != dim or vectors.dtype.kind != "f":
        raise DimensionMismatch(
            f"vectors of shape {vectors.shape} and type {vectors.dtype}; this index holds rows of {dim} floats"
        )
    for what, given in (("uris", uris), *meta.items()):
        if len(given) != len(vectors):
            raise SourceError(f"{len(given):,} {what} for {len(vectors):,} vectors; give one for each")
    for row, uri in enumerate(uris):
        if not 0 < len(name_of(uri)) <= MAX_NAME:
            raise SourceError(f"the uri of row {row:,} has {len(name_of(uri)):,} bytes; it has 1 to {MAX_NAME:,}")
    for what, given in meta.items():
        for row, value in enumerate(given):
            _check_cell(what, row, value)


def _check_cell(what: str, row: int, value: Any) -> None:
    """Raise SourceError for what cannot be kept."""
    told = plain(value)
    if isinstance(told, int) and not LEAST_INT <= told <= MOST_INT:
        raise SourceError(
            f"row {row:,} of the column {what!r} has {told}; whole numbers are kept from {LEAST_INT} to {MOST_INT}: "
            f"give it as text"
        )
    if isinstance(told, str) and not told.isascii():
        try:
            told.encode()
        except UnicodeEncodeError as error:
            raise SourceError(
                f"row {row:,} of the column {what!r} is no text that UTF-8 can hold ({error.reason}); mend it"
            ) from error


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
        width=_side(told.get("width"), first + row),
        height=_side(told.get("height"), first + row),
        caption=str(told["caption"]) if told.get("caption") else None,
    )
    if on_disk and name.startswith(b"/"):
        record = recorded(record)
    others = {key: plain(value) for key, value in told.items() if key not in META}
    return Addition(record, scaled[row].astype(np.float32), with_columns(Details(), others))


def _side(value: Any, row: int) -> int:
    """A width or height in pixels, 0 where it is not known.  Raises SourceError."""
    if value is None or value == "":
        return 0
    try:
        side = int(value)
    except (TypeError, ValueError, OverflowError):
        side = -1
    if not 0 <= side <= MAX_SIDE:
        raise SourceError(f"row {row:,} has a width or height of {value!r}; it is a number of pixels")
    return side
