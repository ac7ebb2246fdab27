"""Work on a whole store: publish a FAISS generation, compact, back up."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from vsearch import files
from vsearch.errors import IndexCorrupt, IndexExists
from vsearch.store import segments, uploads
from vsearch.store.creation import add_space_folder
from vsearch.store.layout import COLUMN_FILE, Layout, format_line
from vsearch.store.records import Generation, Segment, Space, seal, unpack_encoder
from vsearch.store.relocate import relocate
from vsearch.store.segments import CHUNK_ROWS, SegmentReader
from vsearch.store.snapshot import Snapshot, chunk_prefix
from vsearch.store.store import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

INDEX_FILE = "index.faiss"
# A writer that compacts all the time takes files away between our look at the metadata and our links to them.
_TRIES = 200


def publish_generation(
    store: Store, write: Callable[[files.Sink], None], *, upto: int, count: int, recipe: str, report: dict[str, Any]
) -> Generation:
    """Write a FAISS index under a name that was never used, then name it in the metadata.

    upto: ids below it are in the index.  recipe: TOML with every number filled in.  What was there before stays
    until readers have let go of it.
    """
    with store.writing() as (_, space):
        number = store.take_number("next_generation")
        folder = store.layout.ann(space.name) / f"{number:04d}-{secrets.token_hex(4)}"
        files.make_dir(folder)
        published = files.publish(folder / INDEX_FILE, write)
        files.publish(folder / "recipe.toml", lambda sink: sink.put(recipe.encode()))
        told = msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
        files.publish(folder / "report.json", lambda sink: sink.put(told))
        generation = Generation(folder.name, published.length, published.sha256, upto, count, recipe)
        store.replace_space(msgspec.structs.replace(space, generation=generation))
    store.collect_garbage()
    return generation


def drop_generation(store: Store) -> None:
    """Forget the FAISS index; everything is searched exactly until the next build."""
    with store.writing() as (_, space):
        store.replace_space(msgspec.structs.replace(space, generation=None))
    store.collect_garbage()


def compact(store: Store) -> int:
    """Give back the room of vectors that no picture has any more; return how many rows went.

    Ids stay what they are, so FAISS generations stay right.
    """
    gone = 0
    with store.writing() as (head, _):
        for space in store.all_spaces():
            with store.snapshot(space.name) as snapshot:
                rows = _rewrite_all(store, space, snapshot)
            gone += rows if space.name == head.space else 0
    store.collect_garbage()
    return gone


def salvage(store: Store) -> None:
    """Rewrite damaged segments from the rows that are whole, after the lost pictures were dropped."""
    with store.writing() as (_, space), store.tolerant_snapshot() as snapshot:
        _rewrite_all(store, space, snapshot)
    store.collect_garbage()


def rebuild_tables(store: Store) -> int:
    """Make the lists of paths, content hashes and live ids again from the records; return how many records went.

    A record that does not match its checksum is dropped, and so is one under an id that was never given: the next
    run of ``index`` finds their pictures as new.
    """
    with store.writing() as (head, _), store.snapshot() as snapshot:
        damaged: list[int] = []
        records = {id: record for id, record in snapshot.items(damaged) if id < head.next_id}
        total = snapshot.head.images
    with store.writing():
        store.replace_records(records)
    return max(0, total - len(records))


def _rewrite_all(store: Store, space: Space, snapshot: Snapshot) -> int:
    kept = snapshot.kept_ids()
    whole = {s.number: s for s in space.segments}
    fresh: list[Segment] = []
    sums: dict[int, list[tuple[int, bytes]]] = {}
    gone = 0
    for reader in snapshot.readers:
        mask = np.isin(reader.ids_of(0, reader.segment.rows), kept, assume_unique=True)
        dead = whole[reader.segment.number].rows - int(mask.sum())
        gone += dead
        if dead == 0:
            fresh.append(reader.segment)
        elif mask.any():
            segment, told = _rewrite(store, snapshot, reader, np.flatnonzero(mask))
            fresh.append(segment)
            sums[segment.number] = told
    if tuple(fresh) != space.segments:
        store.replace_space(msgspec.structs.replace(space, segments=tuple(fresh)), _swap_sums(space, fresh, sums))
    return gone


def _rewrite(
    store: Store, snapshot: Snapshot, reader: SegmentReader, rows: NDArray[np.int64]
) -> tuple[Segment, list[tuple[int, bytes]]]:
    space = snapshot.space
    folder = store.layout.vectors(space.name)
    ids = reader.ids_of(0, reader.segment.rows)[rows]
    number = store.take_number("next_segment")
    head = store.segment_header(space)
    sums: list[tuple[int, bytes]] = []

    def chunks() -> Iterator[NDArray[np.float16]]:
        for at in range(0, len(rows), CHUNK_ROWS):
            mine = rows[at : at + CHUNK_ROWS]
            snapshot.verify(reader, int(mine[0]), int(mine[-1]) + 1)
            chunk = np.ascontiguousarray(reader.rows[mine])
            sums.append((at, segments.checksums(chunk)))
            yield chunk

    name = Segment(number, int(ids[0]), int(ids[-1]) + 1, len(ids))
    segments.write_compacted(folder / name.name, head, chunks())
    told = segments.write_ids(folder / name.ids_name, ids)
    return msgspec.structs.replace(name, ids_sha256=told), sums


def _swap_sums(
    space: Space, fresh: list[Segment], sums: dict[int, list[tuple[int, bytes]]]
) -> Callable[[Any, Any], None]:
    """The edit that replaces the checksums of rewritten segments, for the transaction that names the new ones."""
    kept = {s.number for s in fresh}

    def edit(txn: Any, table: Any) -> None:
        for old in (s for s in space.segments if s.number not in kept):
            prefix = chunk_prefix(space.key, old.number)
            with txn.cursor(table) as cursor:
                more = cursor.set_range(prefix)
                while more and cursor.key()[:6] == prefix:
                    more = cursor.delete()
        for number, chunks in sums.items():
            for row, told in chunks:
                txn.put(chunk_prefix(space.key, number) + row.to_bytes(4, "big"), seal(told), db=table)

    return edit


def backup(store: Store, destination: Path) -> None:
    """Copy a consistent moment of the store, and what a server was given, while others read and write.

    The metadata is copied first, in one LMDB transaction; then the files that *this copy* names are linked (or
    copied, on another disk), and the uploads last, of which there may be more than it names, never fewer.
    Raises IndexExists, DiskFull, IndexNotWritable.
    """
    _must_be_free(destination, "the backup")

    def keep_uploads(copy: Path) -> None:
        with closing(Store.open(copy)) as copied:
            uploads.keep(store, copied)

    _copied(store, destination, keep_uploads)


def restore(store: Store, destination: Path) -> None:
    """Copy a backup to a new place and its uploads beside it, where the copied metadata then say that they are.

    The uploads get their name first, the index last, each in one step; the backup stays as it is.  Raises IndexExists,
    DiskFull, IndexNotWritable.
    """
    _must_be_free(destination, "the index")
    given, beside = uploads.listed(store.layout), Layout(destination).uploads

    def put_uploads(copy: Path) -> None:
        if given:
            with closing(Store.open(copy, write=True)) as writer:
                for origin in uploads.origins(store.layout):
                    if origin != os.fsencode(beside):
                        relocate(writer, origin, os.fsencode(beside))
            try:
                uploads.put_beside(given, beside)
            except FileExistsError as error:
                raise IndexExists(
                    f"{beside}: there is something already, where the uploads belong; name a new place for the index"
                ) from error

    _copied(store, destination, put_uploads)


def _must_be_free(destination: Path, what: str) -> None:
    if os.path.lexists(destination):
        raise IndexExists(f"{destination}: there is something already; name a new place for {what}")


def _copied(store: Store, destination: Path, finish: Callable[[Path], None]) -> None:
    with files.storage_errors(destination):
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):
                return _copy(store, destination, finish)
    raise IndexCorrupt(
        f"{store.layout.root}: a file that the metadata names is gone; embed its pictures again with: vsearch repair"
    )


def _copy(store: Store, destination: Path, finish: Callable[[Path], None]) -> None:
    scratch = files.scratch_beside(destination)
    with ExitStack() as on_error:
        files.make_dir(scratch)
        on_error.callback(files.discard, scratch)
        to = Layout(scratch)
        files.make_dir(to.meta)
        files.make_dir(to.root / "spaces")
        store.copy_metadata(to.data)
        files.publish(to.format, lambda sink: sink.put(format_line(store.identity)))
        copied = Store.open(scratch)
        try:
            derived = copied.derived_names()
            # A compaction may have taken a file away since the metadata was copied: FileNotFoundError, and start over.
            for space in copied.all_spaces():
                _link_space(store.layout, to, space, derived[space.name])
        finally:
            copied.close()
        _link_columns(store.layout, to)
        finish(scratch)
        files.rename(scratch, destination)
        on_error.pop_all()


def _link_space(old: Layout, new: Layout, space: Space, derived: set[str]) -> None:
    add_space_folder(new, unpack_encoder(space.encoder))
    for segment in space.segments:
        _link_rows(old.vectors(space.name), new.vectors(space.name), segment, space.dim)
    if space.generation is not None:
        folder = new.ann(space.name) / space.generation.name
        files.make_dir(folder)
        source = old.ann(space.name) / space.generation.name
        files.link_or_copy(source / INDEX_FILE, folder / INDEX_FILE)
        for name in ("recipe.toml", "report.json"):  # for people; an index is whole without them
            with suppress(FileNotFoundError):
                files.link_or_copy(source / name, folder / name)
    if derived:
        files.make_dir(new.derived(space.name))
        for name in derived:
            with suppress(FileNotFoundError):  # made again when it is needed
                files.link_or_copy(old.derived(space.name) / name, new.derived(space.name) / name)


def _link_columns(old: Layout, new: Layout) -> None:
    """Column files are never changed, and are read only where the metadata name them."""
    if old.columns.is_dir():
        files.make_dir(new.columns)
        for path in old.columns.iterdir():
            if COLUMN_FILE.fullmatch(path.name):
                files.link_or_copy(path, new.columns / path.name)


def _link_rows(old: Path, new: Path, segment: Segment, dim: int) -> None:
    # A segment that may still grow must not be shared: a writer of the copy would write into the original.
    if segment.ids_sha256:
        files.link_or_copy(old / segment.name, new / segment.name)
        files.link_or_copy(old / segment.ids_name, new / segment.ids_name)
    else:
        files.copy(old / segment.name, new / segment.name, segments.HEADER + segment.rows * dim * 2)


def size_on_disk(root: Path) -> int:
    """Bytes of all files, by stat alone: opening LMDB's lock file would drop this process's lock."""
    return sum(os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(root) for name in names)
