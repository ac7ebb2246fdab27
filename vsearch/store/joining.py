"""Join shards, indexes made with one encoder, into a new one: records and rows are copied, nothing is embedded.

The new index is written under a scratch name and gets its own when all of it is durable.  Each shard is read as of one
moment; whoever writes to it meanwhile is not disturbed.
"""

from __future__ import annotations

import heapq
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby, starmap
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from vsearch import files
from vsearch.errors import DiskFull, EncoderMismatch, IndexCorrupt, IndexExists
from vsearch.store import segments
from vsearch.store.batch import Batch, path_key
from vsearch.store.changes import Changes
from vsearch.store.creation import clear_scratch
from vsearch.store.records import Record, Segment, Space, with_runs
from vsearch.store.segments import CHUNK_ROWS, MAX_ROWS
from vsearch.store.snapshot import Snapshot
from vsearch.store.store import Store
from vsearch.types import EncoderInfo, Failure, Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]

PIECE_ROWS = 8192  # pictures of one transaction
_SLACK = 16 << 20  # bytes for the smallest LMDB file and the folders


@dataclass(frozen=True, slots=True)
class Joined:
    """What was joined.  repeated: pictures left out because another shard knows their path from later."""

    images: int
    repeated: int
    failures: int
    kept_ids: bool


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some pictures of a shard: their ids there and in the new index, both ascending."""

    moment: Snapshot
    old: Ids
    new: Ids


def join(destination: Path, shards: Sequence[Store]) -> Joined:
    """Write the pictures of all shards to a new index at ``destination``.

    Ids stay as they are when no two shards have ids in the same range; else they are given anew, in the order of the
    shards.  Raises IndexExists, EncoderMismatch, DiskFull, IndexNotWritable, IndexCorrupt.
    """
    info = _one_encoder(shards)
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise IndexExists(f"{destination}: there is something already; name a new place for the merged index")
    with ExitStack() as moments_end, files.storage_errors(destination):
        moments = [moments_end.enter_context(shard.snapshot()) for shard in shards]
        _check_room(destination, shards, moments)
        with _scratch(destination) as scratch:
            with _made(scratch, info) as store:
                joined = _fill(store, moments)
            files.rename(scratch, destination)
    return joined


def _one_encoder(shards: Sequence[Store]) -> EncoderInfo:
    first, *others = [(shard.layout.root, shard.encoder_info) for shard in shards]
    for root, info in others:
        if info.digest != first[1].digest:
            raise EncoderMismatch(
                f"{first[0]} was made with the encoder {first[1].name} ({first[1].digest[:12]}), {root} with "
                f"{info.name} ({info.digest[:12]}): their vectors cannot be compared. Embed one of them anew with: "
                f"vsearch index --encoder {first[1].name} --index {root}"
            )
    return first[1]


def _check_room(destination: Path, shards: Sequence[Store], moments: Sequence[Snapshot]) -> None:
    """Refuse before the first byte what cannot end well.  The metadata are at most as large as those of the shards."""
    rows = sum(len(moment) * moment.space.dim * 2 for moment in moments)
    need = rows + sum(shard.layout.data.stat().st_size for shard in shards) + _SLACK
    free = files.free_bytes(destination.parent)
    if free < need:
        raise DiskFull(
            f"{destination}: the merged index takes up to {need / 1e6:,.0f} MB and the disk has {free / 1e6:,.0f} MB "
            f"free. Free some space, or name a place on another disk"
        )


@contextmanager
def _scratch(destination: Path) -> Iterator[Path]:
    """A place beside ``destination``, removed at the end; what a killed process left is removed by the next one."""
    scratch = destination.with_name(f".{destination.name}.new-{uuid.uuid4().hex}")
    with ExitStack() as at_end:
        with files.alone_in(destination.parent):
            clear_scratch(destination)
            files.make_dir(scratch)
            at_end.callback(files.discard, scratch)
            at_end.callback(files.WriterLock(scratch / "LOCK").release)
        yield scratch / "index"


@contextmanager
def _made(place: Path, info: EncoderInfo) -> Iterator[Store]:
    store = Store.create(place, info)
    try:
        yield store
    finally:
        store.close()


def _fill(store: Store, moments: Sequence[Snapshot]) -> Joined:
    superseded = _superseded(moments)
    kept = [_without(moment.kept_ids(), gone) for moment, gone in zip(moments, superseded, strict=True)]
    in_order = _in_id_order(kept, moments)
    with store.writing() as (head, _):
        count = sum(map(len, kept))
        end = max(m.head.next_id for m in moments) if in_order is not None else count
        with store.edit() as (txn, _tables):
            store.put_head(txn, msgspec.structs.replace(head, next_id=end))
        for pieces in _segments(_pieces(kept, moments, in_order)):
            _write_segment(store, pieces)
    failures = _failures(store, moments)
    roots = tuple({root for moment in moments for root in moment.roots()})
    settings: dict[bytes, Settings | None] = {root: its for m in moments for root, its in m.settings().items()}
    store.commit(Batch(failures=failures, roots=roots, settings=settings))
    return Joined(count, sum(map(len, superseded)), len(failures), in_order is not None)


def _superseded(moments: Sequence[Snapshot]) -> list[Ids]:
    """Of each shard the ids of pictures whose path another one knows from later.

    A picture that is there goes before one that was gone when it was last looked for, then the one that was added last.
    The tables of paths are sorted by digest, so walking them side by side needs no memory.
    """
    gone: list[list[int]] = [[] for _ in moments]
    for _, same in groupby(heapq.merge(*starmap(_walk, enumerate(moments))), key=itemgetter(0)):
        first, *others = same
        if others:
            ranked = sorted((_age(moments[n], id), n, id) for _, n, id in (first, *others))
            for _, number, id in ranked[:-1]:
                gone[number].append(id)
    return [np.array(ids, np.int64) for ids in gone]


def _walk(number: int, moment: Snapshot) -> Iterator[tuple[bytes, int, int]]:
    return ((digest, number, id) for digest, id in moment.paths())


def _age(moment: Snapshot, id: int) -> tuple[bool, bool, int]:
    record = _record(moment, id)
    return not moment.is_absent(id), not record.missing, record.added_ns


def _record(moment: Snapshot, id: int) -> Record:
    """The record of a picture that a list names.  Raises IndexCorrupt when there is none."""
    record = moment.record(id)
    if record is None:
        raise IndexCorrupt(f"picture {id} of an index to be merged has no record; mend that index with: vsearch repair")
    return record


def _without(ids: Ids, gone: Ids) -> Ids:
    return ids[~np.isin(ids, gone)] if len(gone) else ids


def _in_id_order(kept: Sequence[Ids], moments: Sequence[Snapshot]) -> list[int] | None:
    """The shards' numbers in the order of their ids; None when the ranges of ids of two shards overlap."""
    order = sorted((n for n, ids in enumerate(kept) if len(ids)), key=lambda n: int(kept[n][0]))
    disjoint = all(moments[a].head.next_id <= kept[b][0] for a, b in zip(order, order[1:], strict=False))
    return order if disjoint else None


def _pieces(kept: Sequence[Ids], moments: Sequence[Snapshot], in_order: list[int] | None) -> Iterator[_Piece]:
    next_id = 0
    for number in range(len(kept)) if in_order is None else in_order:
        for at in range(0, len(kept[number]), PIECE_ROWS):
            old = kept[number][at : at + PIECE_ROWS]
            new = old if in_order is not None else np.arange(next_id, next_id + len(old))
            next_id += len(old)
            yield _Piece(moments[number], old, new)


def _segments(pieces: Iterator[_Piece]) -> Iterator[list[_Piece]]:
    """Pieces by the segment that they go to."""
    group: list[_Piece] = []
    for piece in pieces:
        if group and sum(len(p.new) for p in group) + len(piece.new) > MAX_ROWS:
            yield group
            group = []
        group.append(piece)
    if group:
        yield group


def _write_segment(store: Store, pieces: list[_Piece]) -> None:
    """Write the rows of a segment, then what is known of its pictures, then name it."""
    with store.read() as txn:
        space = store.space_in(txn, store.head_in(txn))
    ids = np.concatenate([piece.new for piece in pieces])
    segment = Segment(store.take_number("next_segment"), int(ids[0]), int(ids[-1]) + 1, len(ids))
    folder, sums = store.layout.vectors(space.name), list[tuple[int, bytes]]()
    segments.write_compacted(folder / segment.name, store.segment_header(space), _rows(pieces, sums))
    if segment.end_id - segment.first_id != segment.rows:
        segment = msgspec.structs.replace(segment, ids_sha256=segments.write_ids(folder / segment.ids_name, ids))
    for piece in pieces:
        _write_records(store, piece)
    with store.edit() as (txn, _):
        store.put_rows(txn, _with_absent(space, pieces), segment, sums)


def _rows(pieces: list[_Piece], sums: list[tuple[int, bytes]]) -> Iterator[NDArray[np.float16]]:
    """The rows as they are stored, compared with their checksums; ``sums`` takes those of the new segment."""
    row = 0
    for piece in pieces:
        for at in range(0, len(piece.old), CHUNK_ROWS):
            chunk = np.ascontiguousarray(piece.moment.rows(piece.old[at : at + CHUNK_ROWS]))
            sums.append((row, segments.checksums(chunk)))
            row += len(chunk)
            yield chunk


def _write_records(store: Store, piece: _Piece) -> None:
    with store.edit() as (txn, tables):
        changes = Changes(txn, tables, store.head_in(txn))
        for old, new in zip(piece.old.tolist(), piece.new.tolist(), strict=True):
            record = _record(piece.moment, old)
            changes.update(new, record)
            if details := piece.moment.details(old):
                changes.describe(new, details)
            if tags := piece.moment.tags(old):
                changes.tag(new, tags)
        store.put_head(txn, changes.finish())


def _with_absent(space: Space, pieces: list[_Piece]) -> Space:
    absent = [
        new
        for piece in pieces
        if piece.moment.space.absent
        for old, new in zip(piece.old.tolist(), piece.new.tolist(), strict=True)
        if piece.moment.is_absent(old)
    ]
    return msgspec.structs.replace(space, absent=with_runs(space.absent, absent))


def _failures(store: Store, moments: Sequence[Snapshot]) -> list[Failure]:
    """Files that no shard could read, as remembered of their last version."""
    last: dict[bytes, Failure] = {}
    with store.snapshot() as joined:
        for failure in (f for moment in moments for f in moment.failures()):
            id = joined.at_path(failure.path)
            record: Any = None if id is None else joined.record(id)
            known = last.get(path_key(failure.path))
            if (record is None or record.missing) and (known is None or known.mtime_ns <= failure.mtime_ns):
                last[path_key(failure.path)] = failure
    return list(last.values())
