"""Compare what a source shows with what the store holds: what is new, changed, moved, gone.

Nothing is read of the pictures here, only their names, sizes and times.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from vsearch.decode import Limits
from vsearch.ingest.archives import Archives
from vsearch.ingest.border import bounded
from vsearch.ingest.columns import with_columns
from vsearch.ingest.raised import is_raised
from vsearch.ingest.rows import find_gone_rows
from vsearch.ingest.todo import Todo
from vsearch.members import address
from vsearch.sources import Source
from vsearch.sources.suffixes import count_by_suffix
from vsearch.store import Record, Snapshot, Store
from vsearch.store.batch import ArchiveState
from vsearch.store.records import MISSING, RACY
from vsearch.types import Details, Failure, Item, Settings

_LOOKUPS = 1024
_ENDS = re.compile(rb"[/#]")  # of a folder or an archive, in a path


@dataclass
class Survey:
    """The outcome of one look at a source.

    todo: pictures to read.  updates: id → record of those that are back or have another caption.
    details: id → details of those of which a table says something else than before.  changed: how many have another
    caption or other details.
    vanished: id → record of pictures under the source's folders that it did not show.
    empty_roots: folders that show none of their indexed pictures.
    forgotten: paths of remembered failures that are gone.  failing: paths that are known to fail and are left alone.
    remarks: what the source says of itself.
    archives: path → state of those that were opened, and need not be until they change.
    passed_by: suffix → how many files were not looked at.
    rows: table → digests of the paths of its pictures.  row_ids: pictures whose rows are gone.
    settings: root → options to be remembered.  left_out: kind → files passed by that another option would take in.
    """

    todo: Todo = field(default_factory=Todo)
    updates: dict[int, Record] = field(default_factory=dict)
    details: dict[int, Details] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    vanished: dict[int, Record] = field(default_factory=dict)
    unchanged: int = 0
    changed: int = 0
    known_failures: int = 0
    shown: int = 0
    empty_roots: list[bytes] = field(default_factory=list)
    roots: tuple[bytes, ...] = ()
    remarks: tuple[str, ...] = ()
    forgotten: list[bytes] = field(default_factory=list)
    failing: set[bytes] = field(default_factory=set)
    archives: dict[bytes, ArchiveState] = field(default_factory=dict)
    passed_by: dict[str, int] = field(default_factory=dict)
    settings: dict[bytes, Settings | None] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    rows: dict[bytes, bytes] = field(default_factory=dict)
    row_ids: list[int] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def survey(store: Store, source: Source, *, retry_failed: bool = False, limits: Limits | None = None) -> Survey:
    """Look at everything that a source shows.  Raises SourceError.

    limits: those of now; failures that met lower ones are tried again, like all with ``retry_failed``.
    """
    limits = limits or Limits()
    found = Survey(roots=source.roots)
    with store.snapshot() as snapshot:
        seen = bytearray(snapshot.head.next_id)
    archives = Archives(store, retry_failed, limits)
    for group in _groups(archives.opened(source)):
        with store.snapshot() as snapshot:
            for one in group:
                found.shown += 1
                item = one if isinstance(one, Failure) else bounded(one)
                if isinstance(item, Failure):
                    found.failures.append(item)
                else:
                    _classify(snapshot, item, seen, found, None if retry_failed else limits)
    found.remarks = getattr(source, "remarks", ())
    found.archives = archives.settled()
    found.passed_by = count_by_suffix(Counter(getattr(source, "passed_by", {})))
    found.unchanged += archives.unchanged
    found.known_failures += archives.known_failures
    if source.roots:
        with store.snapshot() as snapshot:
            _find_vanished(snapshot, source.roots, seen, found, archives)
    if tables := getattr(source, "tables", ()):
        with store.snapshot() as snapshot:
            _find_mended(snapshot, tables, found)
            rows = find_gone_rows(snapshot, getattr(source, "rows", {}), seen)
        found.vanished.update(rows.vanished)
        found.rows, found.row_ids, found.warnings = rows.shown, rows.ids, rows.warnings
    return found


def _groups(source: Iterable[Item | Failure]) -> Iterator[list[Item | Failure]]:
    # The store is asked in groups: a read transaction held for a whole scan would pin pages.
    stream = iter(source)
    while group := list(islice(stream, _LOOKUPS)):
        yield group


def _classify(snapshot: Snapshot, item: Item, seen: bytearray, found: Survey, limits: Limits | None) -> None:
    """limits: None for trying again whatever failed."""
    if item.path in found.todo or item.path in found.failing:
        return  # Named twice: overlapping folders, or a list that repeats itself.
    id = snapshot.at_path(item.path)
    if id is None:
        if limits is not None and _fails_again(snapshot.failure_at(item.path), item, limits):
            found.known_failures += 1
            found.failing.add(item.path)
        else:
            found.todo.add(item)
        return
    if id < len(seen):
        seen[id] = 1
    record = snapshot.record(id)
    if record is None or not same_file(record, item) or snapshot.is_absent(id):
        found.todo.add(item)
        return
    if record.missing or record.caption != item.caption:
        found.updates[id] = replace(record, caption=item.caption, flags=record.flags & ~MISSING)
    old = snapshot.details(id) if item.columns is not None else None
    if old is not None and (details := with_columns(old, item.columns)) != old:
        found.details[id] = details
    if id in found.details or record.caption != item.caption:
        found.changed += 1
    else:
        found.unchanged += 1


def _fails_again(known: Failure | None, item: Item, limits: Limits) -> bool:
    """Whether a file is as it was when it failed, and so are the limits."""
    if known is None or (known.size, known.mtime_ns) != (item.size, item.mtime_ns):
        return False
    return not is_raised(known, limits)


def same_file(record: Record, item: Item) -> bool:
    """Whether a file is as it was when it was read, by size and times alone.

    A file written just before it was read may change again within the same tick of the clock, so its times prove
    nothing; and the time of change (ctime) catches an mtime that was put back.
    """
    told = (record.size, record.mtime_ns, record.ctime_ns)
    return not record.flags & RACY and told == (item.size, item.mtime_ns, item.ctime_ns)


def _is_inside(path: bytes, places: set[bytes]) -> bool:
    """Whether a path lies below one of these folders, or in one of these archives."""
    return bool(places) and any(path[: at.start()] in places for at in _ENDS.finditer(path))


def _find_mended(snapshot: Snapshot, tables: Sequence[bytes], found: Survey) -> None:
    """Failures of lines of tables, and of tables, that were not told again."""
    failed = {failure.path for failure in found.failures}
    lines = tuple(table + address.MARK for table in tables)
    known = (failure.path for failure in snapshot.failures())
    found.forgotten += [p for p in known if (p in tables or p.startswith(lines)) and p not in failed]


def _find_vanished(
    snapshot: Snapshot, roots: tuple[bytes, ...], seen: bytearray, found: Survey, archives: Archives
) -> None:
    failed = {f.path for f in found.failures}
    unread = {path.rstrip(b"/") for path in failed}
    covered = {address.covered(root): root for root in roots}
    prefixes = tuple(covered)
    kept = dict.fromkeys(prefixes, 0)
    gone: dict[bytes, dict[int, Record]] = {prefix: {} for prefix in prefixes}
    for id, record in snapshot.items():
        prefix = next((p for p in prefixes if record.path.startswith(p)), None)
        if prefix is None:
            continue
        shown = (id < len(seen) and seen[id]) or record.path in failed or _is_inside(record.path, unread)
        if shown or archives.unopened(record.path):
            kept[prefix] += 1
        elif not record.missing and address.covers(prefix, record.path):
            gone[prefix][id] = record
    found.forgotten = [
        f.path
        for f in snapshot.failures()
        if (any(address.covers(prefix, f.path) for prefix in prefixes) or f.path in roots)
        if f.path not in found.failing and f.path not in found.todo
        if f.path not in failed and not archives.unopened(f.path)
    ]
    shown_new = {p for p in prefixes if any(i.path.startswith(p) for i in found.todo)}
    for prefix in prefixes:
        if gone[prefix] and not kept[prefix] and prefix not in shown_new:
            # Not one picture is left: that is what an unmounted disk looks like, so nothing is concluded from it.
            found.empty_roots.append(covered[prefix])
        else:
            found.vanished.update(gone[prefix])
