"""One run of ingestion: survey, then decode ahead, embed in batches, commit each batch.

A batch is committed after 256 pictures or two seconds, whichever comes first, so that a kill loses at most that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from vsearch.decode import Decoded, Job, Limits, Same
from vsearch.ingest.columns import with_columns
from vsearch.ingest.moves import Moves
from vsearch.ingest.raised import limits_met
from vsearch.ingest.reader import LocalReader, Opening, Reader
from vsearch.ingest.settings import new_settings, with_settings
from vsearch.ingest.stages import Stages
from vsearch.ingest.survey import Survey, survey
from vsearch.members import address
from vsearch.sources import Source
from vsearch.store import Addition, Batch, Record, Snapshot, Store
from vsearch.store.records import MISSING, RACY, RACY_NS
from vsearch.types import AddReport, Details, Failure, Item, Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.embed import Encoder

BATCH_IMAGES = 256
BATCH_SECONDS = 2.0
PRUNE_SHARE = 0.1

Review = Callable[[Store, Survey], None]


@dataclass(frozen=True)
class Options:
    """How to run.

    retry_failed: read files again that failed before and have not changed.
    prune: forget pictures that are gone; above a tenth of the folder only with ``yes``.
    review: may change what the survey found before anything is done about it.
    opening: opens what decodes and embeds instead of this process.
    """

    limits: Limits = field(default_factory=Limits)
    workers: int | None = None
    retry_failed: bool = False
    prune: bool = False
    yes: bool = False
    progress: Callable[[Progress], None] | None = None
    review: Review | None = None
    opening: Opening | None = None


def ingest(store: Store, encoder: Callable[[], Encoder], source: Source, options: Options) -> AddReport:
    """Bring the store in line with a source.

    encoder: gives the encoder when the first picture needs it, so that a run with nothing new loads no weights.
    Raises SourceError, EncoderError, DiskFull, IndexNotWritable.
    """
    started = time.monotonic()
    stages = Stages()
    with stages.spent("scan"):
        source = with_settings(store, source)
        looked = survey(store, source, retry_failed=options.retry_failed, limits=options.limits)
        if options.review is not None:
            options.review(store, looked)
        looked.settings = new_settings(store, source)
        looked.left_out = dict(getattr(source, "left_out", {}))
    run = Ingestion(store, looked, options, started, stages)
    run.settle(looked)
    if looked.todo:
        info, limits = store.encoder_info, options.limits
        opened = options.opening(info, limits) if options.opening else None
        with opened or LocalReader(encoder, info, limits, options.workers) as reader:
            outcomes = stages.waiting("decode", reader.read(run.jobs()))
            for item, outcome in zip(looked.todo, outcomes, strict=True):
                run.take(item, outcome, reader)
            run.flush(reader)
    run.mark_vanished()
    run.remember_archives()
    if options.prune:
        run.prune()
    return run.report()


class Ingestion:
    """The state of one run: what is pending, what was done."""

    def __init__(
        self,
        store: Store,
        looked: Survey,
        options: Options,
        started: float,
        stages: Stages,
    ) -> None:
        self._store = store
        self._looked = looked
        self._options = options
        self._started = started
        self._stages = stages
        self._vanished = dict(looked.vanished)
        self._moves = Moves()
        self._by_content: dict[bytes, list[int]] = {}
        for id, record in self._vanished.items():
            self._by_content.setdefault(record.content, []).append(id)
        self._by_size: dict[int, set[bytes]] = {}
        for record in self._vanished.values():
            self._by_size.setdefault(record.size, set()).add(record.content)
        self._pending: list[tuple[Item, Decoded]] = []
        self._batch = Batch()
        self._since = time.monotonic()
        self._added = self._moved = self._done = self._removed = 0
        self._unchanged, self._changed = looked.unchanged, looked.changed
        self._failures: list[Failure] = []
        self._warnings: list[str] = []

    def settle(self, looked: Survey) -> None:
        """Write what the survey alone decided."""
        self._warnings += looked.remarks
        self._warnings += [
            f"{_shown(root)} shows none of its indexed pictures: taken for a disk that is not there, nothing was "
            f"removed. If they are really gone: vsearch index {_shown(root)} --prune --yes; if they are elsewhere now: "
            f"vsearch roots move {_shown(root)} NEW"
            for root in looked.empty_roots
            if not self._options.prune  # which tells itself what it leaves
        ]
        self._warnings += looked.warnings
        self._failures += looked.failures
        self._batch.failures += looked.failures
        self._batch.healed += looked.forgotten
        with self._store.snapshot() as snapshot:
            known = snapshot.roots()
        self._batch.roots = _folders(looked.roots, known)
        self._batch.settings = looked.settings
        self._batch.rows = looked.rows
        for id, record in looked.updates.items():
            self._batch.updates[id] = record
            self._commit_if_large()
        for id, details in looked.details.items():
            self._batch.details[id] = details
            self._commit_if_large()
        self._commit()

    def jobs(self) -> Iterator[Job]:
        """What to decode; a file whose size is that of a vanished picture is hashed first, as it may have moved."""
        with_record = self._records_of_todo()
        for item in self._looked.todo:
            known = set(self._by_size.get(item.size, ()))
            old = with_record.get(item.path)
            if old is not None and old.size == item.size:
                known.add(old.content)
            yield Job(item.path, frozenset(known))

    def _records_of_todo(self) -> dict[bytes, Record]:
        records: dict[bytes, Record] = {}
        with self._store.snapshot() as snapshot:
            if len(snapshot) == 0:
                return records
            for item in self._looked.todo:
                id = snapshot.at_path(item.path)
                record = None if id is None else snapshot.record(id)
                # One without a vector in this space has to be read anew.
                if id is not None and record is not None and not snapshot.is_absent(id):
                    records[item.path] = record
        return records

    def take(self, item: Item, outcome: Decoded | Same | Failure, reader: Reader) -> None:
        """Account for one picture; commit when the batch is full or two seconds old."""
        if not self._pending and not self._batch:
            self._since = time.monotonic()
        self._done += 1
        if isinstance(outcome, Failure):
            self._fail(item, outcome)
        elif isinstance(outcome, Same):
            self._recognise(item, outcome)
        else:
            self._pending.append((item, outcome))
        full = len(self._pending) + len(self._batch) >= BATCH_IMAGES
        if full or time.monotonic() - self._since > BATCH_SECONDS:
            self.flush(reader)

    def _fail(self, item: Item, failure: Failure) -> None:
        failure = replace(failure, limits=limits_met(failure.reason, self._options.limits))
        if failure.size < 0:
            failure = replace(failure, size=item.size, mtime_ns=item.mtime_ns)
        self._failures.append(failure)
        self._batch.failures.append(failure)
        with self._store.snapshot() as snapshot:
            id = snapshot.at_path(item.path)
            record = None if id is None else snapshot.record(id)
        if id is not None and record is not None and not record.missing:
            # What was indexed there is no longer what the file holds: out of the results, but not forgotten.
            self._batch.updates[id] = replace(record, flags=record.flags | MISSING)

    def _recognise(self, item: Item, same: Same) -> None:
        with self._store.snapshot() as snapshot:
            id = snapshot.at_path(item.path)
            record = None if id is None else snapshot.record(id)
            if id is not None and record is not None and record.content == same.content:
                self._batch.updates[id] = _refreshed(record, item, same)
                self._describe(snapshot, id, item)
                same_words = id not in self._batch.details and record.caption == item.caption
                self._unchanged += same_words
                self._changed += not same_words
                return
            moved = [id for id in self._by_content.get(same.content, ()) if id in self._vanished]
            if moved:
                old = moved[-1]
                self._moved += 1
                self._batch.updates[old] = _refreshed(self._vanished.pop(old), item, same)
                self._describe(snapshot, old, item)
                self._batch.healed.append(item.path)
                return
            self._take_known(snapshot, item, same)

    def _describe(self, snapshot: Snapshot, id: int, item: Item) -> None:
        """Take over what the source says of a picture that is there already."""
        known = snapshot.details(id)
        if (details := with_columns(known, item.columns)) != known:
            self._batch.details[id] = details

    def _take_known(self, snapshot: Snapshot, item: Item, same: Same | Decoded) -> bool:
        """Use what is known of the same bytes instead of embedding them again.

        A picture that is no longer where it was has moved, whatever folder it lay in; else the vector is copied.
        """
        known = [
            (id, record)
            for id in snapshot.with_content(same.content)
            if not snapshot.is_absent(id) and (record := snapshot.record(id)) is not None
        ]
        old = self._moves.source(snapshot, known)
        if old is not None and snapshot.at_path(item.path) is None:
            id, record = old
            self._vanished.pop(id, None)
            self._moved += 1
            self._batch.updates[id] = _refreshed(record, item, same)
            self._describe(snapshot, id, item)
            self._batch.healed.append(item.path)
            return True
        return self._copy_vector(snapshot, known, item, same)

    def _copy_vector(
        self, snapshot: Snapshot, known: list[tuple[int, Record]], item: Item, same: Same | Decoded
    ) -> bool:
        if not known:
            return False
        id, record = known[0]
        vector = snapshot.vectors(np.array([id]))[0]
        details = same.details if isinstance(same, Decoded) else snapshot.details(id)
        self._add(item, _refreshed(replace(record, added_ns=time.time_ns()), item, same), vector, details)
        return True

    def _add(self, item: Item, record: Record, vector: NDArray[np.float32], details: Details) -> None:
        self._batch.additions.append(Addition(record, vector, with_columns(details, item.columns)))
        self._batch.healed.append(item.path)
        self._added += 1

    def flush(self, reader: Reader) -> None:
        """Embed what is pending, the same bytes only once, and commit the batch."""
        fresh = []
        with self._store.snapshot() as snapshot:
            for item, decoded in self._pending:
                if not self._take_known(snapshot, item, decoded):
                    fresh.append((item, decoded))
        self._pending = []
        first = {decoded.content: (item, decoded) for item, decoded in reversed(fresh)}
        vectors = dict(zip(first, self._embed(reader, [picture for _, picture in first.values()]), strict=True))
        for item, decoded in fresh:
            vector = vectors[decoded.content]
            if isinstance(vector, str):
                self._fail(item, Failure(item.path, "embed", vector, decoded.size, decoded.mtime_ns))
            else:
                self._add(item, _new_record(item, decoded), vector, decoded.details)
        self._commit()

    def _embed(self, reader: Reader, fresh: list[Decoded]) -> list[NDArray[np.float32] | str]:
        """The vector of each picture, or why it has none: one bad picture does not take its batch with it."""
        if not fresh:
            return []
        with self._stages.spent("embed"):
            return reader.embed(fresh)

    def _commit_if_large(self) -> None:
        if len(self._batch) >= BATCH_IMAGES * 4:
            self._commit()

    def _commit(self) -> None:
        if self._batch:
            batch, self._batch = self._batch, Batch()
            with self._stages.spent("store"):
                self._store.commit(batch)
        if self._options.progress is not None:
            self._options.progress(
                Progress(
                    self._done,
                    len(self._looked.todo),
                    self._added,
                    len(self._failures),
                    time.monotonic() - self._started,
                )
            )

    def mark_vanished(self) -> None:
        """Take pictures that are gone out of the results; their vectors stay until ``prune``."""
        for id, record in self._vanished.items():
            self._batch.updates[id] = replace(record, flags=record.flags | MISSING)
            self._removed += 1
            self._commit_if_large()
        self._commit()

    def remember_archives(self) -> None:
        """Note the archives of which every member is now a picture or a failure of the index."""
        self._batch.archives = self._looked.archives
        self._commit()

    def prune(self) -> None:
        """Forget what is gone for good, unless that is suspiciously much."""
        roots = tuple(map(address.covered, self._looked.roots))
        empty = tuple(map(address.covered, self._looked.empty_roots))
        with self._store.snapshot() as snapshot:
            of_rows = set(self._looked.row_ids)
            named = {id for rows in self._looked.rows.values() for id in _ids(snapshot, rows)} | of_rows
            under = [(id, r) for id, r in snapshot.items() if id in named or _is_covered(r, roots)]
        gone = [id for id, r in under if id in of_rows or _is_prunable(r, roots, empty)]
        if len(gone) > PRUNE_SHARE * len(under) and not self._options.yes:
            self._warnings.append(
                f"{len(gone):,} of {len(under):,} pictures would be forgotten, more than a tenth: nothing was. "
                f"If that is right, add --yes"
            )
            return
        there = {id for id, record in under if not record.missing}
        self._removed += len(there.intersection(gone))
        for at in range(0, len(gone), BATCH_IMAGES * 4):
            self._batch.dropped = gone[at : at + BATCH_IMAGES * 4]
            self._commit()
        # A root that is gone with all that was known below it is no longer one.
        with self._store.snapshot() as snapshot:
            known = {root.rstrip(b"/") for root in (*snapshot.roots(), *snapshot.settings())}
        self._batch.settings = {
            root: None for root in self._looked.roots if root in known and not os.path.lexists(root)
        }
        self._commit()

    def report(self) -> AddReport:
        """What was done."""
        return AddReport(
            added=self._added,
            unchanged=self._unchanged,
            changed=self._changed,
            moved=self._moved,
            removed=self._removed,
            failures=tuple(self._failures),
            known_failures=self._looked.known_failures,
            seconds=time.monotonic() - self._started,
            warnings=tuple(self._warnings),
            stages=self._stages.seconds,
            passed_by=self._looked.passed_by,
            left_out=self._looked.left_out,
        )


def _ids(snapshot: Snapshot, digests: bytes) -> Iterator[int]:
    for at in range(0, len(digests), 16):
        if (id := snapshot.at_digest(digests[at : at + 16])) is not None:
            yield id


def _is_prunable(record: Record, roots: tuple[bytes, ...], empty: tuple[bytes, ...]) -> bool:
    """Whether a picture below the roots is gone, or lies below one that shows nothing any more."""
    return _is_covered(record, roots) and (record.missing or _is_covered(record, empty))


def _is_covered(record: Record, prefixes: tuple[bytes, ...]) -> bool:
    return any(address.covers(prefix, record.path) for prefix in prefixes)


def _folders(roots: tuple[bytes, ...], known: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Those roots that are folders and not known: an archive's members are told from the folder that it is in."""
    told = {root: address.covered(root) for root in roots}
    return tuple(root for root, prefix in told.items() if prefix.endswith(b"/") and not prefix.startswith(known))


def _shown(root: bytes) -> str:
    return root.removesuffix(address.MARK).decode("utf-8", "replace")


def is_racy(mtime_ns: int, ctime_ns: int) -> bool:
    """Whether a file was written so shortly before now that its times cannot tell a later change."""
    return max(mtime_ns, ctime_ns) >= time.time_ns() - RACY_NS


def _refreshed(record: Record, item: Item, seen: Same | Decoded) -> Record:
    """The record of the same bytes as they lie there now."""
    return replace(
        record,
        path=item.path,
        size=seen.size,
        mtime_ns=seen.mtime_ns,
        ctime_ns=seen.ctime_ns,
        caption=item.caption,
        flags=RACY if is_racy(seen.mtime_ns, seen.ctime_ns) else 0,
    )


def _new_record(item: Item, decoded: Decoded) -> Record:
    return Record(
        path=item.path,
        content=decoded.content,
        size=decoded.size,
        mtime_ns=decoded.mtime_ns,
        ctime_ns=decoded.ctime_ns,
        added_ns=time.time_ns(),
        width=decoded.width,
        height=decoded.height,
        caption=item.caption,
        flags=RACY if is_racy(decoded.mtime_ns, decoded.ctime_ns) else 0,
    )
