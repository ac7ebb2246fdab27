"""Prove, offline, that an index is what was committed: every record, every row, every file."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vsearch import files
from vsearch.errors import IndexCorrupt
from vsearch.store import derived
from vsearch.store.environment import verify_structure
from vsearch.store.maintain import INDEX_FILE
from vsearch.store.records import Generation, Segment
from vsearch.store.segments import SegmentReader
from vsearch.store.snapshot import Snapshot
from vsearch.store.store import Store


@dataclass
class Findings:
    """What a check found.  problems: in words, empty when all is well.

    lost: ids of pictures whose vectors are damaged or gone; they can be embedded again.
    bad_generation: the FAISS file is damaged; it can be built again from the vectors.
    bad_derived: a file that is made when it is needed is damaged.
    bad_tables: records are damaged, or the lists derived from them disagree; they can be made again.
    bad_metadata: LMDB itself is damaged; only a backup or a new index helps.
    """

    problems: list[str] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)
    bad_generation: bool = False
    bad_derived: bool = False
    bad_tables: bool = False
    bad_metadata: bool = False
    images: int = 0
    bytes: int = 0


def check(store: Store) -> Findings:
    """Read everything once (LMDB twice) and compare it with its checksums and with itself."""
    found = Findings()
    try:
        _check_structure(store)
        with store.tolerant_snapshot() as snapshot:
            _check_tables(store, snapshot, found)
            if not found.bad_tables:
                _check_segments(store, snapshot, found)
                _check_other_spaces(store, snapshot, found)
            if snapshot.space.generation is not None:
                _check_generation(store, snapshot, snapshot.space.generation, found)
            _check_derived(store, snapshot, found)
    except IndexCorrupt as error:
        found.problems.append(str(error))
        found.bad_metadata = True
    return found


def _check_structure(store: Store) -> None:
    # A writer may be at work, so the walk is over a copy made in one transaction.
    with tempfile.TemporaryDirectory(prefix="vsearch-check-") as folder:
        copy = Path(folder) / "data.mdb"
        store.copy_metadata(copy)
        verify_structure(copy)


def _check_tables(store: Store, snapshot: Snapshot, found: Findings) -> None:
    before = len(found.problems)
    damaged: list[int] = []
    shown, missing, unlisted = set(), 0, Counter[str]()
    for id, record in snapshot.items(damaged):
        found.images += 1
        missing += record.missing
        unlisted["paths"] += snapshot.at_path(record.path) != id
        unlisted["content hashes"] += id not in snapshot.with_content(record.content)
        if not record.missing:
            shown.add(id)
    found.problems += (f"metadata: {p}" for p in snapshot.damaged_descriptions())
    found.problems += (f"metadata: {p}" for p in _told(snapshot, damaged, shown, missing, found.images, unlisted))
    entries = snapshot.entries()
    for table, name in ((b"path", "paths"), (b"content", "content hashes")):
        if not unlisted[name] and entries[table] != found.images:
            found.problems.append(
                f"metadata: the list of {name} has {entries[table]} entries for {found.images} pictures"
            )
    found.bad_tables = len(found.problems) > before


def _told(
    snapshot: Snapshot, damaged: list[int], shown: set[int], missing: int, images: int, unlisted: Counter[str]
) -> Iterator[str]:
    if damaged:
        yield f"the records of {len(damaged)} pictures are damaged (first id {damaged[0]})"
    for name, count in unlisted.items():
        if count:
            yield f"{count} pictures are not in the list of {name}"
    shown = {id for id in shown if not snapshot.is_absent(id)}
    if odd := sorted(set(snapshot.live_ids().tolist()) ^ shown - set(damaged)):
        yield f"the list of live ids disagrees with the records about {len(odd)} pictures (first id {odd[0]})"
    if (images + len(damaged), missing) != (snapshot.head.images, snapshot.head.missing) and not damaged:
        yield f"{images} records with {missing} missing, where {snapshot.head.images} were committed"
    for _ in snapshot.failures():
        pass  # Each is compared with its checksum as it is read.


def _check_other_spaces(store: Store, live: Snapshot, found: Findings) -> None:
    """Damage to a space that is not live costs no picture: it is embedded again from the files, or removed."""
    for space in store.all_spaces():
        if space.name == live.space.name:
            continue
        inside = Findings()
        with store.tolerant_snapshot(space.name) as snapshot:
            _check_segments(store, snapshot, inside)
        found.bytes += inside.bytes
        mend = f"remove it with: vsearch spaces remove {space.name}"
        found.problems += (f"space {space.name}, which is not in use: {problem}; {mend}" for problem in inside.problems)


def _check_segments(store: Store, snapshot: Snapshot, found: Findings) -> None:
    ids = snapshot.kept_ids()
    if snapshot.space.name != snapshot.head.space:
        ids = ids[ids < snapshot.space.end_id]
    covered = np.zeros(len(ids), bool)
    whole = {r.segment.number: r for r in snapshot.readers}
    for segment in snapshot.space.segments:
        reader = whole.get(segment.number)
        if reader is None or reader.segment != segment:
            found.problems.append(_why_unreadable(store, snapshot, segment))
        if reader is not None:
            covered |= reader.rows_of(ids) >= 0
            found.bytes += reader.rows.nbytes
            _check_rows(snapshot, reader, found)
    bare = ids[~covered]
    if len(bare):
        found.lost.update(bare.tolist())
        found.problems.append(f"{len(bare)} pictures have no vector (first id {bare[0]})")


def _why_unreadable(store: Store, snapshot: Snapshot, segment: Segment) -> str:
    folder = store.layout.vectors(snapshot.space.name)
    try:
        SegmentReader(folder, segment, snapshot.space.dim, store.segment_header(snapshot.space))
    except (IndexCorrupt, OSError) as error:
        return str(error)
    return f"{folder / segment.name}: changed while it was checked"


def _check_rows(snapshot: Snapshot, reader: SegmentReader, found: Findings) -> None:
    bad = snapshot.damaged(reader)
    if bad:
        found.lost.update(bad)
        shown = ", ".join(map(str, bad[:8])) + (" …" if len(bad) > 8 else "")
        found.problems.append(f"{reader.path}: the vectors of {len(bad)} pictures are damaged (ids {shown})")


def _check_generation(store: Store, snapshot: Snapshot, generation: Generation, found: Findings) -> None:
    path = store.layout.ann(snapshot.space.name) / generation.name / INDEX_FILE
    problem = generation_problem(path, generation)
    if problem:
        found.bad_generation = True
        found.problems.append(problem)
    else:
        found.bytes += generation.length


def generation_problem(path: Path, generation: Generation) -> str | None:
    """Why a FAISS file is not the one that was published, or None when it is."""
    try:
        if (length := os.stat(path).st_size) != generation.length:
            return f"{path}: {length:,} bytes instead of {generation.length:,}"
        if files.sha256_of(path).sha256 != generation.sha256:
            return f"{path}: the content does not match its checksum"
    except OSError as error:
        return f"{path}: {error.strerror}"
    return None


def _check_derived(store: Store, snapshot: Snapshot, found: Findings) -> None:
    folder = store.layout.derived(snapshot.space.name)
    for named in snapshot.all_derived():
        told = derived.problem(folder / named.name, named)
        found.bytes += 0 if told else named.length
        if told:
            found.problems.append(told)
            found.bad_derived = True
