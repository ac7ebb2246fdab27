"""Mend what ``check`` found: tables from records, vectors from pictures, the FAISS index from vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vsearch.errors import IndexCorrupt
from vsearch.members.address import is_there
from vsearch.store import Batch, Store, maintain, publishing
from vsearch.store.check import Findings
from vsearch.store.check import check as check_store
from vsearch.types import RepairReport


def mend(store: Store, add: Callable[[Sequence[bytes]], int], rebuild: Callable[[], str]) -> RepairReport:
    """Mend a store; return what was done, in words.

    add: embeds the pictures at these paths again and returns how many there were.  rebuild: makes the FAISS index
    again and says so in words.  Raises IndexCorrupt when the metadata itself is damaged: nothing else can tell what
    was there.
    """
    found = check_store(store)
    if found.bad_metadata:
        raise IndexCorrupt(f"{found.problems[0]}. The metadata cannot be rebuilt: restore a backup, or index again")
    actions = []
    if found.bad_tables:
        gone = maintain.rebuild_tables(store)
        actions.append("made the lists of paths, contents and live pictures again from the records")
        if gone:
            actions.append(f"dropped {gone:,} pictures whose records are damaged; vsearch index adds them again")
        found = check_store(store)
    if found.lost or found.problems:
        actions += _reembed(store, found, add)
    if found.bad_derived:
        publishing.drop(store)
        actions.append("dropped damaged vectors of texts; they are made again when they are needed")
    if found.bad_generation:
        actions.append(rebuild())
    return RepairReport(tuple(actions))


def _reembed(store: Store, found: Findings, add: Callable[[Sequence[bytes]], int]) -> list[str]:
    with store.tolerant_snapshot() as snapshot:
        records = [r for id in sorted(found.lost) if (r := snapshot.record(id)) is not None]
    store.commit(Batch(dropped=sorted(found.lost)))
    maintain.salvage(store)
    if not records:
        return []
    there = [r.path for r in records if is_there(r.path)]
    added = add(there) if there else 0
    left = len(records) - added
    return [
        f"embedded {added:,} damaged vectors again from their pictures",
        *([f"dropped {left:,} pictures whose vectors are damaged and whose files are gone"] if left else []),
    ]
