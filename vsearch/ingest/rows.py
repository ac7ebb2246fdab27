"""Rows that are gone from tables: their pictures leave the index like files that are gone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vsearch.store import Record, Snapshot
from vsearch.store.batch import path_key


@dataclass
class GoneRows:
    """What tables no longer name.

    vanished: id → record of those that are shown.  ids: of all of them.  shown: table → digests of the paths of its
    pictures, to be remembered.
    """

    vanished: dict[int, Record] = field(default_factory=dict)
    ids: list[int] = field(default_factory=list)
    shown: dict[bytes, bytes] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def find_gone_rows(snapshot: Snapshot, rows: Mapping[bytes, Sequence[bytes]], seen: bytearray) -> GoneRows:
    """Compare the pictures of tables with those that they named before.

    rows: table → paths.  seen: by id, what this run has shown.  Pictures that another table names, or that lie in a
    folder that is indexed, stay.  A table that names none of its pictures any more is not believed.
    """
    found = GoneRows()
    known = snapshot.table_rows()
    for table, paths in rows.items():
        now = {path_key(path) for path in paths}
        before = known.get(path_key(table), set())
        others = set().union(*(told for key, told in known.items() if key != path_key(table)))
        gone = _records(snapshot, before - now)
        if gone and not before & now:
            found.warnings.append(
                f"{os.fsdecode(table)} names none of the {len(gone):,} pictures that it named before: nothing was "
                f"removed. If that is right: vsearch forget --where, or --ids"
            )
        else:
            _take(snapshot, {d: told for d, told in gone.items() if d not in others}, seen, found)
        found.shown[table] = b"".join(sorted(now | gone.keys()))
    return found


def _records(snapshot: Snapshot, digests: set[bytes]) -> dict[bytes, tuple[int, Record]]:
    ids = {digest: id for digest in digests if (id := snapshot.at_digest(digest)) is not None}
    return {digest: (id, record) for digest, id in ids.items() if (record := snapshot.record(id)) is not None}


def _take(snapshot: Snapshot, gone: Mapping[bytes, tuple[int, Record]], seen: bytearray, found: GoneRows) -> None:
    roots = snapshot.roots()
    for id, record in gone.values():
        if seen[id] or record.path.startswith(roots):
            continue
        found.ids.append(id)
        if not record.missing:
            found.vanished[id] = record
