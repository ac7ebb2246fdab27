"""Carry out a plan: move the duplicates, and take them out of the results."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from vsearch import moving
from vsearch.duplicates.plan import Duplicates
from vsearch.errors import IndexNotWritable, QueryError
from vsearch.moving import Expected, Moved, Mover
from vsearch.store import Batch, Snapshot, Store
from vsearch.store.records import MISSING


def move(store: Store, plan: Duplicates, folder: Path) -> tuple[list[Moved], Path]:
    """Move all pictures of a plan that are not kept into a folder; see ``Index.move_duplicates``.

    Returns what became of each, and the journal.
    """
    target = Path(os.path.realpath(folder))
    with store.writing(), store.snapshot() as snapshot:
        check_folder(snapshot, store.layout.root, plan, target)
    done: list[Moved] = []
    with Mover(target) as mover:
        _mark(store, _shown_at(store, mover.moved_earlier()), mover.journal)
        for group in plan.groups:
            kept = Expected(group.kept.raw_path, group.kept.content)
            others = [other for other in group.others if not mover.has_moved(other.raw_path)]
            moved = {other.id: mover.move(Expected(other.raw_path, other.content), kept) for other in others}
            done += moved.values()
            _mark(store, {id for id, one in moved.items() if one.to is not None}, mover.journal)
    return done, mover.journal


def _shown_at(store: Store, paths: list[bytes]) -> set[int]:
    """Ids of the pictures that are shown and should be at these paths."""
    with store.snapshot() as snapshot:
        known = [(id, snapshot.record(id)) for path in paths if (id := snapshot.at_path(path)) is not None]
    return {id for id, record in known if record is not None and not record.missing}


def _mark(store: Store, ids: set[int], journal: Path) -> None:
    """Take moved pictures out of the results, as ``index`` does with what is gone."""
    if not ids:
        return
    try:
        with store.snapshot() as snapshot:
            records = {id: record for id in ids if (record := snapshot.record(id)) is not None}
        store.commit(Batch(updates={id: replace(r, flags=r.flags | MISSING) for id, r in records.items()}))
    except IndexNotWritable as error:
        raise type(error)(f"{error}. To move back what was moved: vsearch dups --undo {journal}") from error


def check_folder(snapshot: Snapshot, root: Path, plan: Duplicates, folder: Path) -> None:
    """Refuse a folder in which moved pictures would be indexed again, or that is on another disk.

    Raises QueryError.
    """
    inside = os.fsencode(folder).rstrip(b"/") + b"/"
    if inside.startswith(os.fsencode(os.path.realpath(root)) + b"/"):
        raise QueryError(f"{folder} lies in the index itself; name another folder")
    shown = {os.path.dirname(record.path) for _, record in snapshot.items() if record.path.startswith(b"/")}
    roots = {os.path.realpath(path) for path in (*snapshot.roots(), *shown)}
    above = next((path for path in roots if inside.startswith(path.rstrip(b"/") + b"/")), None)
    if above is not None:
        raise QueryError(
            f"{folder} lies in {os.fsdecode(above)}, whose pictures are indexed: what is moved there would be found "
            f"again. Name a folder outside"
        )
    there = folder if folder.is_dir() else folder.parent
    try:
        disk = os.stat(there).st_dev
    except OSError as error:
        raise QueryError(f"{there} cannot be read ({error.strerror}); name a folder whose parent is there") from error
    for path in (other.raw_path for group in plan.groups for other in group.others):
        if os.path.lexists(path) and os.lstat(path).st_dev != disk:
            raise QueryError(
                f"{folder} is on another disk than {os.fsdecode(path)!r}; pictures are moved, never copied: name a "
                f"folder on the same disk"
            )


undo = moving.undo
