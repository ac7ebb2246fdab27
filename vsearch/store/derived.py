"""Files that are made from the rest and can be made again: named in the metadata, believed only if the hash agrees."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vsearch import files
from vsearch.errors import IndexCorrupt
from vsearch.store.records import Derived, Space, decode, encode

if TYPE_CHECKING:
    import lmdb

    from vsearch.store.store import Store


def publish(store: Store, what: str, write: Callable[[files.Sink], None], read_at: int, of: str | None = None) -> None:
    """Write a file of the live space, then name it in the metadata in place of the last one of its kind.

    what: its kind, a word.  read_at: the transaction that it was made from; when another came between, the file is
    kept but counts as older than the metadata.  of: the space that it was made from; nothing is written when that is
    no longer the live one.  Raises DiskFull, IndexNotWritable.
    """
    with store.writing() as (_, space):
        if of not in (None, space.name):
            return
        folder = store.layout.derived(space.name)
        if not folder.is_dir():
            files.make_dir(folder)
        name = f"{what}-{secrets.token_hex(16)}"
        published = files.publish(folder / name, write)
        _name(store, space, what, Derived(name, published.length, published.sha256), read_at)
    store.collect_garbage()


def confirm(store: Store, what: str, named: Derived, read_at: int, of: str) -> None:
    """Note that a file is what would be made now, if its space is still live.  Raises DiskFull, IndexNotWritable."""
    with store.writing() as (_, space):
        if of == space.name:
            _name(store, space, what, named, read_at)


def drop(store: Store, what: str | None = None) -> None:
    """Forget all files that were made from the live space, or that of a kind.  Raises DiskFull, IndexNotWritable."""
    with store.writing() as (_, space):
        with store.edit() as (txn, tables):
            forget(txn, tables[b"state"], space.name, what)
    store.collect_garbage()


def forget(txn: lmdb.Transaction, table: Any, space: str, what: str | None = None) -> None:
    """No derived file of a space, or none of a kind, is to be believed."""
    for kind in kinds_in(txn, table, space) if what is None else [what]:
        txn.delete(key(space, kind), db=table)


def _name(store: Store, space: Space, what: str, named: Derived, read_at: int) -> None:
    """Commit which file is the one of its kind.  It is up to date if nothing was committed since ``read_at``."""
    with store.edit() as (txn, tables):
        as_of = txn.id() if txn.id() == read_at + 1 else 0
        named = msgspec.structs.replace(named, as_of=as_of)
        txn.put(key(space.name, what), encode(named), db=tables[b"state"])


def problem(path: Path, named: Derived) -> str | None:
    """Why a derived file cannot be believed, in words; None when it is what was published, or gone."""
    try:
        found = files.sha256_of(path)
    except FileNotFoundError:
        return None
    if (found.length, found.sha256) != (named.length, named.sha256):
        return f"{path}: damaged (it does not match its checksum); it is made again when it is needed"
    return None


def of(txn: lmdb.Transaction, table: Any, space: str, what: str) -> Derived | None:
    """The file of a kind that the metadata names; a name that is damaged is as good as none."""
    raw = txn.get(key(space, what), db=table)
    with suppress(IndexCorrupt):
        return None if raw is None else decode(raw, Derived, "the name of a derived file")
    return None


def kinds_in(txn: lmdb.Transaction, table: Any, space: str) -> list[str]:
    """The kinds of file that the metadata names for a space."""
    prefix, kinds = key(space), []
    with txn.cursor(table) as cursor:
        more = cursor.set_range(prefix)
        while more and cursor.key().startswith(prefix):
            kinds.append(cursor.key()[len(prefix) :].decode("utf-8", "replace"))
            more = cursor.next()
    return kinds


def all_in(txn: lmdb.Transaction, table: Any, space: str) -> list[Derived]:
    """All files that were made from a space."""
    found = (of(txn, table, space, what) for what in kinds_in(txn, table, space))
    return [named for named in found if named is not None]


def key(space: str, what: str = "") -> bytes:
    """Key in the table of states; without ``what`` the start of the keys of all kinds."""
    return f"derived/{space}/{what}".encode()
