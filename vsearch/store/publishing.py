"""Writing files that are made from the rest: first the file, then its name in the metadata."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import msgspec

from vsearch import files
from vsearch.store.derived import forget
from vsearch.store.records import Derived, Space, derived_key, encode
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


def _name(store: Store, space: Space, what: str, named: Derived, read_at: int) -> None:
    """Commit which file is the one of its kind.  It is up to date if nothing was committed since ``read_at``."""
    with store.edit() as (txn, tables):
        as_of = txn.id() if txn.id() == read_at + 1 else 0
        named = msgspec.structs.replace(named, as_of=as_of)
        txn.put(derived_key(space.name, what), encode(named), db=tables[b"state"])
