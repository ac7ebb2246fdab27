"""Column files: one for each block of ids, mapped into memory, named by the block and its stamp.

A file ends with the XXH3-128 of the rest of it; one that does not match is as good as none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import xxhash

from vsearch import files
from vsearch.errors import IndexCorrupt
from vsearch.filters.schema import batch
from vsearch.store import Snapshot, Store
from vsearch.store.garbage import remove_others
from vsearch.store.layout import COLUMN_FILE, COLUMNS

_SUM = 16
# The number is that of the layout in ``schema``: files of another are made again.
_ENDING = ".1.arrow"


def file_name(number: int, stamp: str) -> str:
    """The name of a block's file."""
    return f"{number:08d}-{stamp}{_ENDING}"


def read(path: Path) -> pa.RecordBatch | None:
    """The rows of a column file, mapped into memory; None when it is not there or damaged."""
    with suppress(OSError, pa.ArrowException, EOFError):
        with pa.memory_map(str(path)) as mapped:
            whole = mapped.read_buffer()
        body = whole.slice(0, max(0, whole.size - _SUM))
        if body.size and xxhash.xxh3_128_digest(body) == whole.slice(whole.size - _SUM).to_pybytes():
            return next(iter(pa.ipc.open_stream(body)))
    return None


def write(path: Path, rows: pa.RecordBatch) -> None:
    """Publish the file of a block.  Raises OSError."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_batch(rows)
    body = sink.getvalue()

    def fill(out: files.Sink) -> None:
        out.put(memoryview(body))
        out.put(xxhash.xxh3_128_digest(body))

    files.unlink(path)  # One that was damaged.
    files.publish(path, fill)


def build(snapshot: Snapshot, number: int) -> pa.RecordBatch:
    """The rows of a block, from the metadata.  Raises IndexCorrupt."""
    return batch(snapshot.block(number), snapshot.roots())


def numbers(snapshot: Snapshot, stamps: dict[int, str], block_ids: int) -> Iterator[int]:
    """The blocks that there are; an older index, open for reading, has no stamps."""
    yield from sorted(stamps) if stamps else range(-(-snapshot.head.next_id // block_ids))


def refresh(store: Store) -> None:
    """Write the column files that are missing and remove those that are no longer right.

    Only the blocks of which something changed are made again.  Column files only save time: what cannot be written, on
    a full disk, or made, of damaged records, is left to each process that filters, which will tell.
    """
    folder = store.layout.columns
    with suppress(OSError):
        if not folder.exists():
            files.make_dir(folder)
        with store.snapshot() as snapshot:
            wanted = {number: file_name(number, stamp) for number, stamp in snapshot.stamps().items()}
        remove_others(store.layout.root, (COLUMNS,), COLUMN_FILE, set(wanted.values()))
        there = {path.name for path in folder.iterdir()}
        for number, name in sorted(wanted.items()):
            if name not in there:
                _write_block(store, number, name)


def _write_block(store: Store, number: int, name: str) -> None:
    # A snapshot for each: one held for the whole run would pin pages.
    with suppress(IndexCorrupt), store.snapshot() as snapshot:
        if file_name(number, snapshot.stamps().get(number, "")) == name:
            write(store.layout.columns / name, build(snapshot, number))
