"""Planted defects: each is a mistake that a store like this one could make, and some harness must notice it."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lmdb
from msgspec import structs

from tests.durability import subject
from vsearch import files
from vsearch.ann import AnnIndex
from vsearch.index import Index
from vsearch.store import creation, garbage, links, records, segments, spaces
from vsearch.store import store as store_module
from vsearch.store.environment import Environment
from vsearch.store.store import Store

WINDOW = 0.002
"""Seconds for which a defect that needs a kill at the wrong moment stays open: a slow disk."""

MUTANTS: dict[str, Callable[[], None]] = {}


def apply(name: str) -> None:
    """Break this process's copy of the library; the empty name leaves it as it is."""
    if name:
        MUTANTS[name]()


def _mutant(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def register(plant: Callable[[], None]) -> Callable[[], None]:
        MUTANTS[name] = plant
        return plant

    return register


def _replace(owner: Any, name: str, new: Any) -> None:
    """Put something else in a name, and wherever the library has imported it from there."""
    old = getattr(owner, name)
    patch.object(owner, name, new).start()
    for module in [m for n, m in list(sys.modules.items()) if n.startswith("vsearch") and m is not owner]:
        if module.__dict__.get(name) is old:
            patch.object(module, name, new).start()


@_mutant("no segment fsync")
def _() -> None:
    _replace(files, "fdatasync", lambda fd: None)


@_mutant("no file fsync before rename")
def _() -> None:
    real = files.fsync
    _replace(files, "fsync", lambda fd: None if stat.S_ISREG(os.fstat(fd).st_mode) else real(fd))


@_mutant("no directory fsync")
def _() -> None:
    _replace(files, "fsync_dir", lambda path: None)


@_mutant("sync off")
def _() -> None:
    _lmdb(sync=False)


@_mutant("metasync off")
def _() -> None:
    _lmdb(metasync=False)


@_mutant("no LMDB lock")
def _() -> None:
    _lmdb(lock=False)


def _lmdb(**options: bool) -> None:
    real = lmdb.open
    _replace(lmdb, "open", lambda path, **told: real(path, **{**told, **options}))


@_mutant("commit before data")
def _() -> None:
    """The transaction first, then the rows that it names."""
    waiting: list[tuple[Any, ...]] = []
    append, write = segments.append, Environment.write

    @contextlib.contextmanager
    def write_then_append(self: Environment) -> Iterator[Any]:
        with write(self) as txn:
            yield txn
        if waiting:
            time.sleep(WINDOW)
            append(*waiting.pop())

    _replace(segments, "append", lambda *args: waiting.append(args))
    _replace(Environment, "write", write_then_append)


@_mutant("batch in two transactions")
def _() -> None:
    """What vanished or moved is committed, then what is new."""
    commit = Store.commit

    def twice(self: Store, batch: Any) -> list[int]:
        additions, batch.additions = batch.additions, []
        commit(self, batch)
        time.sleep(WINDOW)
        batch.additions, batch.updates, batch.dropped = additions, {}, []
        return commit(self, batch)

    _replace(Store, "commit", twice)


@_mutant("delete before commit")
def _() -> None:
    """A compaction takes the old files away before the metadata names the new ones."""
    replace_space = Store.replace_space

    def delete_first(self: Store, space: Any, edit: Any = None) -> None:
        named = {s.name for s in space.segments} | {s.ids_name for s in space.segments}
        for path in self.layout.vectors(space.name).iterdir():
            if path.name not in named:
                files.unlink(path)
        time.sleep(WINDOW)
        replace_space(self, space, edit)

    _replace(Store, "replace_space", delete_first)


@_mutant("repeated generation name")
def _() -> None:
    """A generation is written over the one before it, under the same name."""
    take_number, make_dir = Store.take_number, files.make_dir

    def make_or_keep(path: Path) -> None:
        with contextlib.suppress(FileExistsError):
            make_dir(path)

    def same(self: Store, counter: str) -> int:
        return 1 if counter == "next_generation" else take_number(self, counter)

    _replace(Store, "take_number", same)
    _replace(secrets, "token_hex", lambda n: "0" * 2 * n)
    _replace(files, "make_dir", make_or_keep)


@_mutant("unchecked short write")
def _() -> None:
    def write_once(fd: int, data: Any, offset: int) -> int:
        view = memoryview(data).cast("B")
        os.pwrite(fd, view, offset)
        return offset + len(view)

    _replace(files, "write_all", write_once)


@_mutant("plain create")
def _() -> None:
    """The store is made where it will be, file by file."""
    with_name = Path.with_name

    def in_place(self: Path, name: str) -> Path:
        return self if ".new-" in name else with_name(self, name)

    _replace(Path, "with_name", in_place)
    rename = files.rename
    _replace(files, "rename", lambda old, new: None if old == new else rename(old, new))


@_mutant("state of another transaction")
def _() -> None:
    """A reader keeps what it decoded, whatever has been committed since."""
    real = Store._state_in
    _replace(Store, "_state_in", lambda self, txn, of=None: self._state or real(self, txn, of))


@_mutant("no second try")
def _() -> None:
    """A reader that finds a file gone, which a compaction took away, gives up."""
    _replace(store_module, "_TRIES", 1)


@_mutant("swapped before filled")
def _() -> None:
    """The new space answers first, and is filled then."""
    extend = spaces.extend

    def swap_first(store: Store, name: str, vectors: Any) -> None:
        with store.edit() as (txn, _):
            store.put_head(txn, structs.replace(store.head_in(txn), space=name))
        time.sleep(WINDOW)
        extend(store, name, vectors)

    _replace(spaces, "extend", swap_first)


@_mutant("only live pictures indexed")
def _() -> None:
    """A picture that was missing during the build, and came back, is in neither the generation nor its tail."""
    _replace(subject, "indexed_ids", lambda snapshot: snapshot.live_ids())


@_mutant("old index, new watermark")
def _() -> None:
    """A reader keeps the FAISS index that it has loaded, and believes that it reaches as far as the newest one."""
    real = Index._generation

    def stale(self: Index, snapshot: Any) -> Any:
        named, loaded = snapshot.space.generation, self._ann
        if named is None or loaded is None:
            return real(self, snapshot)
        return AnnIndex.of(loaded.index, named.upto, named.name)

    _replace(Index, "_generation", stale)


@_mutant("links are followed")
def _() -> None:
    def open_folder(root: Any, *inside: str) -> int:
        return os.open(os.path.join(root, *inside), os.O_RDONLY | os.O_DIRECTORY)

    _replace(links, "refuse_links", lambda root: None)
    _replace(files, "open_folder", open_folder)
    _replace(files, "plain", os.open)


@_mutant("any name is believed")
def _() -> None:
    _replace(records, "_check_name", lambda name, pattern: None)
    _replace(creation, "unpack_space", lambda raw, name: records.decode(raw, records.Space, "a space"))
    real = garbage.remove_others
    _replace(garbage, "remove_others", lambda root, inside, _, keep: real(root, inside, re.compile(".*"), keep))


@_mutant("a reader tidies up")
def _() -> None:
    real = Store.__init__
    _replace(
        Store, "__init__", lambda self, root, env, identity, lock, tidy=True: real(self, root, env, identity, lock)
    )
