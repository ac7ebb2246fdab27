"""The store as a whole: create, open, read a moment, commit a batch."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmdb
import msgspec
import numpy as np

from vsearch import files
from vsearch.errors import IndexClosed, IndexCorrupt, IndexNotWritable, QueryError
from vsearch.store import derived, described, segments
from vsearch.store import live as live_ids
from vsearch.store.batch import Batch, path_key
from vsearch.store.changes import Changes, matrix_of
from vsearch.store.creation import HEAD_KEY, SPACE_KEY, clear_scratch, fill, read_spaces, refuse_what_is_there
from vsearch.store.environment import Environment, open_environment
from vsearch.store.garbage import sweep
from vsearch.store.layout import Layout, read_format
from vsearch.store.links import refuse_links
from vsearch.store.records import Head, Record, Segment, Space, decode, encode, seal, unpack_encoder, unpack_space
from vsearch.store.segments import CHUNK_ROWS, MAX_ROWS, SegmentReader
from vsearch.store.snapshot import Snapshot, State, chunk_prefix, pack_failure, until_left
from vsearch.store.verify import Walk, clean_note
from vsearch.types import EncoderInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TRIES = 20


class Store:
    """One index on disk.  Any number of threads and processes may read while one writes."""

    def __init__(
        self, root: Path, env: Environment, identity: str, lock: files.WriterLock | None, tidy: bool = True
    ) -> None:
        self.layout = Layout(root)
        self._tidy = tidy
        self._env = env
        self.identity = identity
        self._lock = lock
        self._broken = False
        self._closed = False
        self._guard = threading.Lock()
        self._state: State | None = None
        self._open_segments: dict[int, SegmentReader] = {}
        self._mapped: tuple[State | None, list[SegmentReader]] = (None, [])

    @classmethod
    def create(cls, root: Path, info: EncoderInfo) -> Store:
        """Make an empty index for one encoder and open it for writing.

        It is made under a scratch name and appears whole; of several processes that make it, the others wait for the
        first, and find it there.  Raises IndexExists, IndexNotWritable, DiskFull.
        """
        root = Path(os.path.abspath(root))
        identity = str(uuid.uuid4())
        with files.storage_errors(root), files.alone_in(root.parent):
            refuse_what_is_there(root)
            clear_scratch(root)
            scratch = root.with_name(f".{root.name}.new-{uuid.uuid4().hex}")
            with ExitStack() as on_error:
                files.make_dir(scratch)
                on_error.callback(files.discard, scratch)
                lock = files.WriterLock(scratch / "LOCK")
                on_error.callback(lock.release)
                fill(Layout(scratch), identity, info)
                files.rename(scratch, root)
                on_error.pop_all()
        lock.release(clean_note(root))
        return cls.open(root, write=True)

    @classmethod
    def open(cls, root: Path, *, write: bool = False, tidy: bool = True) -> Store:
        """Open an index.

        Raises IndexNotFound, IndexNotReadable, FormatTooNew, IndexLocked, IndexCorrupt, IndexNotWritable.

        tidy: remove what crashed writers left behind.  What only keeps a cache, for a reader, leaves that to others.
        """
        root = Path(os.path.abspath(root))
        refuse_links(root)
        identity = read_format(root)
        lock = None
        with ExitStack() as on_error:
            if write:
                with files.storage_errors(root):
                    lock = files.WriterLock(root / "LOCK")
                # A writer that never began leaves the note as it was: what it says of the metadata still holds.
                on_error.callback(lock.release, lock.found)
            with files.storage_errors(root):
                env = open_environment(root / "meta", Walk(root, lock.found if lock else None))
            on_error.callback(env.release)
            if lock is not None and env.copy is not None:
                raise IndexNotWritable(f"{root}: cannot be written; searching works, changing does not")
            store = cls(root, env, identity, lock, tidy)
            store._check_identity()
            if write:
                store._add_later_tables()
                store.collect_garbage()
            on_error.pop_all()
        return store

    def close(self) -> None:
        """Release the writer's lock and the environment.  Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._open_segments.clear()
        self._state, self._mapped = None, (None, [])
        self._env.release()
        if self._lock is not None:
            self._lock.release(b"" if self._broken else clean_note(self.layout.root))

    @property
    def writable(self) -> bool:
        """Whether this object holds the writer's lock."""
        return self._lock is not None

    @property
    def encoder_info(self) -> EncoderInfo:
        """The encoder that made the vectors of the live space."""
        return self.live_space()[1]

    def live_space(self) -> tuple[Space, EncoderInfo]:
        """The space that answers, and the encoder that made its vectors."""
        with self.read() as txn:
            space = self.space_in(txn, self.head_in(txn))
        return space, unpack_encoder(space.encoder)

    # Reading

    @contextmanager
    def read(self) -> Iterator[lmdb.Transaction]:
        """A bare read transaction."""
        if self._closed:
            raise IndexClosed(f"{self.layout.root}: this index is closed; open it again with vsearch.open(path)")
        with self._env.read() as txn:
            yield txn

    @contextmanager
    def snapshot(self, of: str | None = None) -> Iterator[Snapshot]:
        """One consistent moment of the live space, or of the one named.  Keep it short: it pins metadata pages."""
        for _ in range(_TRIES):
            with self.read() as txn:
                state = self._state_in(txn, of)
                try:
                    readers = self._readers(state)
                except FileNotFoundError:
                    continue  # A compaction finished between our transaction and our open: look again.
                yield from until_left(Snapshot(txn, self._env.tables, state, readers))
                return
        raise IndexCorrupt(
            f"{self.layout.root}: a file of vectors that the metadata names is gone; embed its pictures again with: "
            f"vsearch repair"
        )

    @contextmanager
    def tolerant_snapshot(self, of: str | None = None) -> Iterator[Snapshot]:
        """A moment with those rows alone that can be mapped: for ``check`` and ``repair`` of a damaged index."""
        with self.read() as txn:
            state = self._state_in(txn, of)
            readers = [r for s in state.space.segments if (r := self._salvage(state.space, s))]
            yield from until_left(Snapshot(txn, self._env.tables, state, readers))

    def _salvage(self, space: Space, segment: Segment) -> SegmentReader | None:
        """A reader of the whole segment, else of its rows before the cut, else none."""
        folder, head = self.layout.vectors(space.name), self.segment_header(space)
        with suppress(IndexCorrupt, OSError):
            return SegmentReader(folder, segment, space.dim, head)
        with suppress(IndexCorrupt, OSError):
            rows = (os.stat(folder / segment.name).st_size - segments.HEADER) // (space.dim * 2)
            if 0 < rows < segment.rows:
                cut = msgspec.structs.replace(segment, rows=rows)
                return SegmentReader(folder, cut, space.dim, head)
        return None

    def _state_in(self, txn: lmdb.Transaction, of: str | None = None) -> State:
        state = self._state
        if state is not None and state.txn_id == txn.id() and of in (None, state.space.name):
            return state
        head = self.head_in(txn)
        space = self.space_in(txn, head, of)
        bitmap = live_ids.load(txn, self._env.tables[b"live"], head.next_id)
        state = State(txn.id(), head, space, live_ids.without(bitmap, space.absent))
        if of in (None, head.space):
            self._state = state
        return state

    def _readers(self, state: State) -> list[SegmentReader]:
        if state.space.name != state.head.space:
            return [self._map(state.space, segment, None) for segment in state.space.segments]
        known_for, readers = self._mapped
        if known_for is state:
            return readers
        with self._guard:
            named = {s.number: s for s in state.space.segments}
            for number in [n for n in self._open_segments if n not in named]:
                del self._open_segments[number]
            for number, segment in named.items():
                known = self._open_segments.get(number)
                if known is None or known.segment != segment:
                    self._open_segments[number] = self._map(state.space, segment, known)
            readers = [self._open_segments[s.number] for s in state.space.segments]
            self._mapped = (state, readers)
            return readers

    def _map(self, space: Space, segment: Segment, known: SegmentReader | None) -> SegmentReader:
        reader = SegmentReader(self.layout.vectors(space.name), segment, space.dim, self.segment_header(space))
        if known is not None:
            # The same file, longer; or shorter, for a thread that looks at an older moment.
            reader.checked[: len(known.checked)] = known.checked[: len(reader.checked)]
        return reader

    def segment_header(self, space: Space) -> bytes:
        """The first 64 bytes of each of a space's segments."""
        return segments.header(self.identity, unpack_encoder(space.encoder).digest, space.dim)

    def head_in(self, txn: lmdb.Transaction) -> Head:
        """The head as of a transaction."""
        raw = txn.get(HEAD_KEY, db=self._env.tables[b"state"])
        if raw is None:
            raise IndexCorrupt(f"{self.layout.data}: the metadata has lost its head; restore a backup")
        return decode(raw, Head, "the head")

    def space_in(self, txn: lmdb.Transaction, head: Head, of: str | None = None) -> Space:
        """The live space, or the one named, as of a transaction.  Raises QueryError for one that there is not."""
        raw = txn.get(SPACE_KEY + (of or head.space).encode(), db=self._env.tables[b"state"])
        if raw is None and of not in (None, head.space):
            raise QueryError(f"{self.layout.root}: has no space {of!r}; list them with: vsearch spaces")
        if raw is None:
            raise IndexCorrupt(f"{self.layout.data}: the metadata has lost the space {head.space!r}; restore a backup")
        return unpack_space(raw, of or head.space)

    def all_spaces(self) -> list[Space]:
        """All spaces as of now, the oldest first."""
        with self.read() as txn:
            return self.spaces_in(txn)

    def spaces_in(self, txn: lmdb.Transaction) -> list[Space]:
        """All spaces as of a transaction, the oldest first."""
        return read_spaces(txn, self._env.tables[b"state"])

    def _add_later_tables(self) -> None:
        with files.storage_errors(self.layout.root), _lmdb_write_errors(self.layout.root):
            if self._env.add_later_tables():
                with self._env.write() as txn:
                    described.stamp_all(txn, self._env.tables)

    def _check_identity(self) -> None:
        with self.read() as txn:
            if self.head_in(txn).identity != self.identity:
                raise IndexCorrupt(
                    f"{self.layout.root}: its metadata belongs to another index (the uuid differs from FORMAT); "
                    f"put the right meta folder back, or restore a backup"
                )

    # Writing

    def commit(self, batch: Batch) -> list[int]:
        """Make a batch durable and visible; return the ids of its additions, in order.

        Rows first, made durable; then one transaction that names them.  A crash at any instant leaves either
        nothing of the batch or all of it.  Raises DiskFull, IndexNotWritable, DimensionMismatch.
        """
        with self.writing() as (head, space):
            matrix = matrix_of(batch.additions, space.dim)
            segment, chunks = self.append_rows(head.next_id, space, matrix)
            with self._env.write() as txn:
                ids = self._apply(txn, batch, head)
                if segment is not None:
                    self.put_rows(txn, space, segment, chunks)
            return ids

    def put_rows(self, txn: lmdb.Transaction, space: Space, segment: Segment, chunks: list[tuple[int, bytes]]) -> None:
        """Name appended rows and their checksums."""
        table = self._env.tables[b"sums"]
        for row, told in chunks:
            txn.put(chunk_prefix(space.key, segment.number) + row.to_bytes(4, "big"), seal(told), db=table)
        kept = tuple(s for s in space.segments if s.number != segment.number)
        self.put_space(txn, msgspec.structs.replace(space, segments=(*kept, segment)))

    @contextmanager
    def writing(self) -> Iterator[tuple[Head, Space]]:
        """Check the right to write, hand out the committed state, translate errors.

        After an I/O error nothing is known about what the disk holds, so this object refuses further writes: the
        next writer starts from what was committed.
        """
        if self._closed or self._lock is None:
            raise IndexNotWritable(f"{self.layout.root}: opened for reading; use vsearch.open(path, write=True)")
        if self._broken:
            raise IndexNotWritable(f"{self.layout.root}: an earlier write failed; close the index and open it again")
        try:
            with files.storage_errors(self.layout.root), _lmdb_write_errors(self.layout.root):
                with self.read() as txn:
                    head = self.head_in(txn)
                    space = self.space_in(txn, head)
                yield head, space
        except (IndexNotWritable, IndexCorrupt):
            self._broken = True
            raise

    def append_rows(
        self, first_id: int, space: Space, matrix: NDArray[np.float16]
    ) -> tuple[Segment | None, list[tuple[int, bytes]]]:
        """Write rows behind those of a space, durable but not yet named; return their segment and its checksums."""
        if not len(matrix):
            return None, []
        tail = space.segments[-1] if space.segments else None
        folder = self.layout.vectors(space.name)
        if tail is None or tail.ids_sha256 or tail.end_id != first_id or tail.rows >= MAX_ROWS:
            tail = Segment(self.take_number("next_segment"), first_id, first_id, 0)
            segments.create(folder / tail.name, self.segment_header(space))
        segments.append(folder / tail.name, tail.rows, space.dim, matrix)
        starts = range(0, len(matrix), CHUNK_ROWS)
        chunks = [(tail.rows + a, segments.checksums(matrix[a : a + CHUNK_ROWS])) for a in starts]
        grown = Segment(tail.number, tail.first_id, tail.end_id + len(matrix), tail.rows + len(matrix))
        return grown, chunks

    def take_number(self, counter: str) -> int:
        """The next value of a counter, used up durably before it names anything."""
        with self._env.write() as txn:
            head = self.head_in(txn)
            number: int = getattr(head, counter)
            self.put_head(txn, msgspec.structs.replace(head, **{counter: number + 1}))
        return number

    def _apply(self, txn: lmdb.Transaction, batch: Batch, head: Head) -> list[int]:
        changes = Changes(txn, self._env.tables, self.head_in(txn))
        for failure in batch.failures:
            txn.put(path_key(failure.path), seal(pack_failure(failure)), db=self._env.tables[b"failure"])
        for path in batch.healed:
            txn.delete(path_key(path), db=self._env.tables[b"failure"])
        for id in batch.dropped:
            changes.drop(id)
        for id, record in batch.updates.items():
            changes.update(id, record)
        for id, details in batch.details.items():
            changes.describe(id, details)
        for id, tags in batch.tags.items():
            changes.tag(id, tags)
        ids = [changes.add(a.record, a.details) for a in batch.additions]
        described.remember(txn, self._env.tables, batch)
        self.put_head(txn, changes.finish())
        return ids

    def put_head(self, txn: lmdb.Transaction, head: Head) -> None:
        """Write the head."""
        txn.put(HEAD_KEY, encode(head), db=self._env.tables[b"state"])

    def put_space(self, txn: lmdb.Transaction, space: Space) -> None:
        """Write a space."""
        txn.put(SPACE_KEY + space.name.encode(), encode(space), db=self._env.tables[b"state"])

    def replace_space(self, space: Space, edit: Callable[[Any, Any], None] | None = None) -> None:
        """Commit a new description of a space, with an edit of its checksums, in one transaction."""
        with self._env.write() as txn:
            self.put_space(txn, space)
            if edit is not None:
                edit(txn, self._env.tables[b"sums"])

    @contextmanager
    def edit(self) -> Iterator[tuple[Any, dict[bytes, Any]]]:
        """A write transaction and the tables, for what has claimed the right to write."""
        with self._env.write() as txn:
            yield txn, self._env.tables

    def replace_records(self, records: dict[int, Record]) -> None:
        """Write all records and every list derived from them anew, in one transaction."""
        with self._env.write() as txn:
            for table in (b"item", b"path", b"content", b"live"):
                txn.drop(self._env.tables[table], delete=False)
            head = msgspec.structs.replace(self.head_in(txn), images=0, missing=0)
            changes = Changes(txn, self._env.tables, head)
            for id, record in records.items():
                changes.update(id, record)
            described.drop_others(txn, self._env.tables, records.keys())
            self.put_head(txn, changes.finish())

    def copy_metadata(self, path: Path) -> None:
        """Copy the metadata as of one transaction to a new file, durable, while others write."""
        fd = files.create(path)
        try:
            with _lmdb_write_errors(path):
                self._env.env.copyfd(fd)
            files.fsync(fd)
        finally:
            os.close(fd)
        files.fsync_dir(path.parent)

    def collect_garbage(self) -> None:
        """Remove what the metadata does not name: leftovers of crashes, compacted segments, old generations."""
        if not self._tidy:
            return
        with self.read() as txn:
            spaces, made = self.spaces_in(txn), self._derived_in(txn)
        sweep(self.layout, spaces, made)

    def derived_names(self) -> dict[str, set[str]]:
        """Names of the derived files of each space."""
        with self.read() as txn:
            return self._derived_in(txn)

    def _derived_in(self, txn: lmdb.Transaction) -> dict[str, set[str]]:
        table = self._env.tables[b"state"]
        return {s.name: {d.name for d in derived.all_in(txn, table, s.name)} for s in self.spaces_in(txn)}


@contextmanager
def _lmdb_write_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except lmdb.Error as error:
        raise files.translated(OSError(0, str(error)), root) from error
