"""LMDB, opened the one way that keeps its promises.

* ``lib_version=0``: the hardened 0.9 engine, whatever the machine's default is.
* The map is sized once (64 GiB of address space, sparse) and never grown while others may have it open.
* A process opens an environment once; opening it again shares it.  LMDB's own lock depends on that, and on nobody
  else touching ``lock.mdb``: closing any descriptor of it drops the process's lock.
* A forked process neither uses nor closes what it has inherited, and opens no second one over it: closing could wait
  for ever for another thread's transaction, or end it in the parent, and LMDB refuses two of one file in a process.
* ``sync`` and ``metasync`` stay on: without them a power cut can cost the whole file, not just the last seconds.
* The file's length is checked before it is mapped: a truncated one would kill the process at the first touch.
* A read transaction that may be newer than its number says is begun anew (see ``_begin``).
"""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import lmdb

from vsearch import files
from vsearch.errors import IndexClosed, IndexCorrupt, IndexNotWritable
from vsearch.store.verify import Walk

MAP_SIZE = 64 << 30
SMALL_MAP = 4 << 30
TABLES = (b"state", b"item", b"path", b"content", b"live", b"sums", b"failure")
# What indexes lack that were made before these tables were; opening one for writing adds them.
LATER = (b"detail", b"tag", b"stamp")
_META_OFFSET = 16
_MAGIC = 0xBEEFC0DE

_registry: dict[tuple[int, int], Environment] = {}
_registry_lock = threading.Lock()


def _free_lock() -> None:
    """In a forked process: a thread that is not here may have held the lock."""
    global _registry_lock
    _registry_lock = threading.Lock()


os.register_at_fork(after_in_child=_free_lock)


@dataclass
class Environment:
    """A shared, reference-counted LMDB environment and its tables."""

    env: lmdb.Environment
    tables: dict[bytes, Any]
    key: tuple[int, int]
    pid: int
    copy: tempfile.TemporaryDirectory[str] | None = None
    users: int = 1
    _closed: bool = field(default=False)

    @contextmanager
    def read(self) -> Iterator[lmdb.Transaction]:
        """A consistent view for as long as the block lasts; keep it short, it pins pages."""
        self.check()
        with translated_errors(), self._begin() as txn:
            yield txn

    def _begin(self) -> lmdb.Transaction:
        """A read transaction that holds what its number says.

        LMDB takes a reader's number first and copies the roots of the trees second, from the one of two pages that
        this number's parity names.  When two commits end between these steps, that page is the later one's already:
        the reader sees a whole moment, under the number of the one before the last.  Whatever is kept by number (the
        live ids, the columns of filters) would then belong to another moment than what is read beside it.
        """
        while True:
            txn = self._begun()
            if self.env.info()["last_txnid"] < txn.id() + 2:
                return txn
            txn.abort()

    def _begun(self) -> lmdb.Transaction:
        try:
            return self.env.begin()
        except lmdb.ReadersFullError:
            self.env.reader_check()
            return self.env.begin()
        except lmdb.MapResizedError:
            self.env.set_mapsize(0)
            return self.env.begin()

    @contextmanager
    def write(self) -> Iterator[lmdb.Transaction]:
        """One transaction, durable when the block ends without an error."""
        self.check()
        with translated_errors(), self.env.begin(write=True) as txn:
            yield txn

    def add_later_tables(self) -> bool:
        """Make the tables that an older index lacks; return whether it lacked any."""
        missing = [name for name in LATER if name not in self.tables]
        with translated_errors():
            for name in missing:
                self.tables[name] = self.env.open_db(name)
        return bool(missing)

    def check(self) -> None:
        """Refuse what LMDB allows and should not: use after close, and use in a forked child."""
        if self._closed:
            raise IndexClosed("this index is closed; open it again with vsearch.open(path)")
        if os.getpid() != self.pid:
            raise _forked("this index was opened before the process forked and cannot be used in the new one")

    def release(self) -> None:
        """Give up one use; the last one closes it, in the process that opened it."""
        if os.getpid() != self.pid:
            return
        with _registry_lock:
            self.users -= 1
            if self.users > 0 or self._closed:
                return
            self._closed = True
            _registry.pop(self.key, None)
        self.env.close()
        if self.copy is not None:
            self.copy.cleanup()


def _forked(what: str) -> IndexClosed:
    """The error in a forked process, with what works instead."""
    return IndexClosed(
        f"{what}; close it before forking and call vsearch.open(path) in each process, or start processes with "
        "multiprocessing.get_context('spawn') or 'forkserver'"
    )


@contextmanager
def translated_errors() -> Iterator[None]:
    """LMDB's errors as ours."""
    try:
        yield
    except (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError, lmdb.BadTxnError) as error:
        raise IndexCorrupt(
            f"the metadata is damaged ({error}); see what is left with: vsearch check, or restore a backup"
        ) from error
    except lmdb.MapFullError as error:
        raise IndexNotWritable(
            "the metadata has reached its fixed size; start a second index for further pictures"
        ) from error


def open_environment(meta: Path, walk: Walk) -> Environment:
    """Open or share the environment in ``meta``.

    walk: tells whether to walk the whole file first (about 0.5 s per 270 MB).  It is asked again when problems are
    found: a writer that began meanwhile explains them.
    Raises IndexCorrupt, IndexClosed in a process that was forked from one that has it open, and IndexNotWritable when
    there is no address space.
    """
    with _registry_lock:
        key = _identity(meta)
        if (known := _registry.get(key)) is not None:
            if known.pid != os.getpid():
                raise _forked("this process was forked from one that has the index open, and cannot open it too")
            known.users += 1
            return known
        check_length(meta / "data.mdb")
        if walk.is_due():
            try:
                verify_structure(meta / "data.mdb")
            except IndexCorrupt:
                if walk.is_due():
                    raise
            else:
                walk.passed()
        env = _open(meta, key)
        _registry[key] = env
        return env


def _identity(meta: Path) -> tuple[int, int]:
    try:
        with files.reading(meta):
            told = os.stat(meta / "data.mdb")
    except FileNotFoundError:
        raise IndexCorrupt(
            f"{meta / 'data.mdb'} is gone: the metadata cannot be rebuilt from the vectors; restore a backup, "
            f"or make the index again with: vsearch index FOLDER --index NEW.vsearch"
        ) from None
    return told.st_dev, told.st_ino


def _open(meta: Path, key: tuple[int, int]) -> Environment:
    if _lockable(meta):
        env = _lmdb_open(meta)
        env.reader_check()
        return Environment(env, _tables(env), key, os.getpid())
    # LMDB must write its reader table, so a collection on read-only media is searched through a private copy.
    copy = tempfile.TemporaryDirectory(prefix="vsearch-")
    try:
        _consistent_copy(meta / "data.mdb", Path(copy.name) / "data.mdb")
        env = _lmdb_open(Path(copy.name))
    except BaseException:
        copy.cleanup()
        raise
    return Environment(env, _tables(env), key, os.getpid(), copy)


def _lockable(meta: Path) -> bool:
    lock = meta / "lock.mdb"
    return os.access(meta, os.W_OK | os.X_OK) and (not lock.exists() or os.access(lock, os.W_OK))


def _consistent_copy(data: Path, to: Path) -> None:
    for _ in range(3):
        with contextlib.suppress(IndexCorrupt):
            files.unlink(to)
            files.copy(data, to)
            verify_structure(to)
            return
    verify_structure(to)


def _lmdb_open(meta: Path) -> lmdb.Environment:
    for size in (MAP_SIZE, SMALL_MAP):
        try:
            return lmdb.open(
                os.fsencode(meta),
                lib_version=0,
                map_size=size,
                max_dbs=len(TABLES) + len(LATER) + 8,
                max_readers=512,
                subdir=True,
                create=True,
                mode=0o600,
                sync=True,
                metasync=True,
                writemap=False,
            )
        except lmdb.MemoryError:
            continue
        except (lmdb.InvalidError, lmdb.VersionMismatchError, lmdb.CorruptedError, lmdb.IncompatibleError) as e:
            raise IndexCorrupt(
                f"{meta / 'data.mdb'}: not a metadata file that this vsearch can read ({e}); restore a backup"
            ) from e
        except lmdb.Error as error:
            raise OSError(0, str(error)) from error
    raise IndexNotWritable(
        f"{meta}: not enough address space for the metadata; raise the limit with: ulimit -v unlimited"
    )


def _tables(env: lmdb.Environment) -> dict[bytes, Any]:
    with translated_errors():
        fresh = env.stat()["entries"] == 0
        options: dict[bytes, dict[str, bool]] = {b"content": {"dupsort": True, "dupfixed": True}}
        tables = {name: env.open_db(name, create=fresh, **options.get(name, {})) for name in TABLES}
        for name in LATER:
            with contextlib.suppress(lmdb.NotFoundError):
                tables[name] = env.open_db(name, create=fresh)
        return tables


def create_environment(meta: Path, fill: Callable[[Environment], None]) -> None:
    """Make a new environment, filled in one transaction's worth of work, closed again.

    A crash while LMDB writes its first pages leaves a file that never opens again, so ``meta`` must lie in a
    scratch directory that gets its final name afterwards.
    """
    env = _lmdb_open(meta)
    try:
        fill(Environment(env, _tables(env), (0, 0), os.getpid()))
    finally:
        env.close()


def check_length(data: Path) -> None:
    """Refuse a data file shorter than its own page count.  Raises IndexCorrupt.

    Reads the two meta pages (each 4,096 bytes here or whatever page size the first one names): magic, version,
    map size, two 48-byte tree roots of which the first begins with the page size, last page, transaction.
    """
    with readable(data) as file:
        length = os.fstat(file.fileno()).st_size
        last = _last_page(file.read(4096), 0)
        psize = last[2] if last else 4096
        file.seek(psize)
        other = _last_page(file.read(4096), 0)
    newest = max((m for m in (last, other) if m), default=None)
    if newest is None:
        raise IndexCorrupt(
            f"{data}: not a metadata file, or its first pages are damaged; restore a backup, or make the index "
            f"again with: vsearch index FOLDER --index NEW.vsearch"
        )
    if length < (newest[1] + 1) * newest[2]:
        raise IndexCorrupt(
            f"{data}: cut off at {length:,} of {(newest[1] + 1) * newest[2]:,} bytes; restore a backup, or make "
            f"the index again with: vsearch index FOLDER --index NEW.vsearch"
        )


@contextmanager
def readable(path: Path) -> Iterator[BinaryIO]:
    """Open a file of an index for reading.  Raises IndexNotReadable when that is not allowed."""
    with files.reading(path):
        file = open(path, "rb", opener=files.plain)
    with file:
        yield file


def _last_page(page: bytes, base: int) -> tuple[int, int, int] | None:
    """(transaction, last page, page size) of a meta page, or None if it is not one."""
    if len(page) < 160:
        return None
    magic, version = struct.unpack_from("<II", page, base + _META_OFFSET)
    if magic != _MAGIC or version != 1:
        return None
    psize = struct.unpack_from("<I", page, base + _META_OFFSET + 24)[0]
    last, txn = struct.unpack_from("<QQ", page, base + _META_OFFSET + 24 + 96)
    if psize < 512 or psize > 65536:
        return None
    return txn, last, psize


def verify_structure(data: Path) -> None:
    """Walk every page of a data file without the engine.  Raises IndexCorrupt with the first problems."""
    from lmdb import verify

    try:
        problems = verify.verify(os.fspath(data))
    except verify.VerifyError as error:
        problems = [str(error)]
    if problems:
        raise IndexCorrupt(
            f"{data}: {len(problems)} structural problems, first: {problems[0]}; restore a backup, or make the "
            f"index again with: vsearch index FOLDER --index NEW.vsearch"
        )
