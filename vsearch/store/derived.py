"""Files that are made from the rest and can be made again: named in the metadata, believed only if the hash agrees."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsearch import files
from vsearch.store.records import Derived, derived_key, unpack_derived

if TYPE_CHECKING:
    import lmdb


def forget(txn: lmdb.Transaction, table: Any, space: str, what: str | None = None) -> None:
    """No derived file of a space, or none of a kind, is to be believed."""
    for kind in kinds_in(txn, table, space) if what is None else [what]:
        txn.delete(derived_key(space, kind), db=table)


def problem(path: Path, named: Derived) -> str | None:
    """Why a derived file cannot be believed, in words; None when it is what was published, or gone."""
    try:
        found = files.sha256_of(path)
    except FileNotFoundError:
        return None
    if (found.length, found.sha256) != (named.length, named.sha256):
        return f"{path}: damaged (it does not match its checksum); it is made again when it is needed"
    return None


def kinds_in(txn: lmdb.Transaction, table: Any, space: str) -> list[str]:
    """The kinds of file that the metadata names for a space."""
    prefix, kinds = derived_key(space), []
    with txn.cursor(table) as cursor:
        more = cursor.set_range(prefix)
        while more and cursor.key().startswith(prefix):
            kinds.append(cursor.key()[len(prefix) :].decode("utf-8", "replace"))
            more = cursor.next()
    return kinds


def all_in(txn: lmdb.Transaction, table: Any, space: str) -> list[Derived]:
    """All files that were made from a space."""
    raws = [txn.get(derived_key(space, what), db=table) for what in kinds_in(txn, table, space)]
    return [named for raw in raws if (named := unpack_derived(raw)) is not None]
