"""One index under a name, always the one that is at its place now.

An open index notices by itself what others commit to it.  What it cannot notice is that its folder was put aside and
another index took its place: that is looked for before each question, the new one is opened, and the old one is closed
when the last question that uses it is answered.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from vsearch.errors import IndexClosed, IndexCorrupt, IndexNotFound, QueryError, VsearchError
from vsearch.index import Index, open_index
from vsearch.present.names import printable
from vsearch.query import Decode
from vsearch.server.batching import Batched
from vsearch.server.faults import log

T = TypeVar("T")

_STALE = (IndexCorrupt, IndexClosed, IndexNotFound)  # what an index may say whose files are gone
_TRIES = 3


class _Handle:
    """An open index, how many use it, and which files it is."""

    def __init__(self, index: Index, identity: tuple[int, int]) -> None:
        self.index, self.identity = index, identity
        self.users = 0
        self.retired = False


class Collection:
    """Answers questions about the index at a path, from any number of threads."""

    def __init__(self, name: str, path: Path, decode: Decode) -> None:
        self.name, self.path = name, path
        self._decode = decode
        self._guard = threading.Lock()
        self._opening = threading.Lock()
        self._writing = threading.Lock()
        self._handle = self._open(None)

    def ask(self, question: Callable[[Index], T]) -> T:
        """Answer from the index that is there now; again, when it was replaced meanwhile.  Raises what is raised."""
        for tries in range(_TRIES):
            handle = self._take()
            try:
                return question(handle.index)
            except _STALE:
                if tries == _TRIES - 1 or self._identity() in (None, handle.identity):
                    raise
            finally:
                self._give(handle)
        raise AssertionError("unreachable")

    def change(self, edit: Callable[[Index], T]) -> T:
        """Open the index for writing, for as long as one edit takes: others may write between two.

        Raises IndexLocked, IndexNotWritable.
        """

        def edited(index: Index) -> T:
            with self._writing, open_index(self.path, write=True, encoder=index.encoder) as writable:
                return edit(writable)

        return self.ask(edited)

    def count(self) -> int:
        """How many pictures can be found."""
        return self.ask(len)

    def warm(self) -> None:
        """Load what the first query would wait for.  Raises VsearchError where texts cannot be embedded."""
        self.ask(lambda index: index.encoder.encode_texts(["a picture"]))

    def holding(self, id: int) -> tuple[Collection, int]:
        """Where a picture is, and its id there; of shards it is one of them."""
        return self, id

    def close(self) -> None:
        """Release the index."""
        with self._guard:
            self._retire(self._handle)

    def _take(self) -> _Handle:
        identity = self._identity()
        if identity not in (None, self._handle.identity):
            self._renew()
        with self._guard:
            if self._handle.retired:
                raise IndexClosed(f"{self.path}: the server has let go of it")
            self._handle.users += 1
            return self._handle

    def _give(self, handle: _Handle) -> None:
        with self._guard:
            handle.users -= 1
            if handle.retired and not handle.users:
                handle.index.close()

    def _renew(self) -> None:
        """Open what is there now, unless another thread is at it: until it is done the old one answers."""
        if not self._opening.acquire(blocking=False):
            return
        try:
            if self._identity() in (None, self._handle.identity):
                return
            made = self._open(self._handle.index)
            with self._guard:
                old, self._handle = self._handle, made
                self._retire(old)
        except (VsearchError, OSError) as error:  # half of it is there; the next question looks again
            log.warning("the new index of %s cannot be opened yet: %s", self.name, printable(str(error)))
        finally:
            self._opening.release()

    def _retire(self, handle: _Handle) -> None:
        if not handle.retired:
            handle.retired = True
            if not handle.users:
                handle.index.close()

    def _open(self, before: Index | None) -> _Handle:
        identity = self._identity()
        index = open_index(self.path, on_notice=lambda line: log.warning("%s: %s", self.name, printable(line)))
        try:
            if before is not None and before.encoder_info.digest == index.encoder_info.digest:
                index.use_encoder(before.encoder)
            index.route(encoder=Batched, decode=self._decode)
            with index.store.snapshot():  # opens the vectors' files, which may lose their names at any time
                pass
            if identity is None or identity != self._identity():
                raise IndexNotFound(f"{self.path}: was replaced while it was opened")
        except BaseException:
            index.close()
            raise
        return _Handle(index, identity)

    def _identity(self) -> tuple[int, int] | None:
        """Which file the metadata is; None while there is none.  An open file's number is not given to another."""
        try:
            told = os.stat(self.path / "meta" / "data.mdb")
        except OSError:
            return None
        return told.st_dev, told.st_ino


def name_of(path: Path) -> str:
    """The name of a collection for a path: that of its folder, in small letters, digits, ``-`` and ``_``."""
    word = Path(os.path.abspath(path)).name.removesuffix(".vsearch").lower()
    return re.sub(r"[^a-z0-9_-]+", "-", word).strip("-")[:64] or "pictures"


def collections(paths: list[Path], decode: Decode) -> dict[str, Collection]:
    """Open several, by name.  Raises QueryError for two of one name, and what opening raises."""
    names = [name_of(path) for path in paths]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise QueryError(f"two of the collections would be called {double!r}; rename the folder of one")
    opened: dict[str, Collection] = {}
    try:
        for name, path in zip(names, paths, strict=True):
            opened[name] = Collection(name, path, decode)
    except BaseException:
        for collection in opened.values():
            collection.close()
        raise
    return opened
