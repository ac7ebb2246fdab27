"""Which texts there are, embedded once: kept beside the space, brought up to date when captions have changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import numpy as np

from vsearch import phrases
from vsearch.errors import IndexCorrupt, IndexLocked, IndexNotWritable
from vsearch.store import Derived, Snapshot, Store, derived, publishing
from vsearch.store.records import unpack_encoder
from vsearch.texts.textset import TextSet, read

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.store import Space
    from vsearch.types import EncoderInfo

    Encode = Callable[[EncoderInfo, Sequence[str]], NDArray[np.float32]]

CAPTIONS, PHRASES = "captions", "phrases"
_BATCH = 256
_WORTH_SAYING = 500


class TextSets:
    """Gives the set of a kind as of now in a joint space, embedding what is new.  Thread-safe.

    encode: texts to unit vectors (n, dim) float32, by the encoder of that description.  notice: gets a line before
    many texts are embedded.
    """

    def __init__(self, store: Store, encode: Encode, notice: Callable[[str], None]) -> None:
        self._store = store
        self._encode = encode
        self._notice = notice
        self._lock = threading.Lock()
        self._space = ""
        self._last: dict[str, tuple[str, int, TextSet]] = {}  # of that space

    def captions(self, space: str) -> TextSet:
        """The captions of all pictures, each line one text.  Raises EncoderError, IndexCorrupt."""
        return self._current(CAPTIONS, captions_of, space)

    def phrases(self, space: str) -> TextSet:
        """The bundled phrases.  Raises EncoderError."""
        return self._current(PHRASES, lambda _: dict.fromkeys(phrases.load(), ()), space)

    def _current(self, what: str, gather: Callable[[Snapshot], Mapping[str, Sequence[int]]], space: str) -> TextSet:
        with self._lock:
            if space != self._space:
                self._space, self._last = space, {}
            with self._store.snapshot(space) as snapshot:
                read_at, named, of = snapshot.txn_id, snapshot.derived(what), snapshot.space
                known = self._known(what, snapshot, named)
                if known is not None and self._last[what][1] == read_at:
                    return known
                wanted = gather(snapshot)
            if known is not None and same(known, wanted):
                self._keep(what, known, read_at, named)
                return known
            return self._embedded(what, wanted, known, read_at, of)

    def _known(self, what: str, snapshot: Snapshot, named: Derived | None) -> TextSet | None:
        """The set that this object used last, or the one that the metadata names, whichever is newer."""
        last = self._last.get(what)
        if named is None or (last is not None and last[0] in ("", named.name)):
            return last[2] if last else None
        path = self._store.layout.derived(snapshot.space.name) / named.name
        told = derived.problem(path, named)
        if told:
            self._notice(told)
            return None
        with suppress(FileNotFoundError, IndexCorrupt):
            self._last[what] = (named.name, named.as_of, read(path, snapshot.space.dim))
            return self._last[what][2]
        return None

    def _embedded(
        self, what: str, wanted: Mapping[str, Sequence[int]], known: TextSet | None, read_at: int, of: Space
    ) -> TextSet:
        encoder = unpack_encoder(of.encoder)
        at = {} if known is None else {text: row for row, text in enumerate(known.texts())}
        fresh = [text for text in wanted if text not in at]
        if len(fresh) >= _WORTH_SAYING:
            self._notice(f"embedding {len(fresh):,} {what}; they are kept for the next time")
        done: dict[str, NDArray[np.float16]] = {}
        try:
            for first in range(0, len(fresh), _BATCH):
                batch = fresh[first : first + _BATCH]
                done |= zip(batch, self._encode(encoder, batch).astype(np.float16), strict=True)
        except BaseException:
            # What was embedded before an interruption is not embedded again.
            if len(done) >= _WORTH_SAYING:
                self._keep(what, _joined(wanted, at, known, done, of.dim), 0, None)
            raise
        made = _joined(wanted, at, known, done, of.dim)
        self._keep(what, made, read_at, None)
        return made

    def _keep(self, what: str, made: TextSet, read_at: int, named: Derived | None) -> None:
        """Remember a set, and keep it on disk unless somebody else is writing or nothing can be written."""
        self._last[what] = ("" if named is None else named.name, read_at, made)
        with suppress(IndexLocked, IndexNotWritable), self._writer() as store:
            if named is not None:
                publishing.confirm(store, what, named, read_at, self._space)
            else:
                publishing.publish(store, what, made.write, read_at, self._space)
        with suppress(IndexCorrupt), self._store.snapshot(self._space) as snapshot:
            now = snapshot.derived(what)
            if now is not None and now.as_of == snapshot.txn_id:
                self._last[what] = (now.name, snapshot.txn_id, made)

    @contextmanager
    def _writer(self) -> Iterator[Store]:
        if self._store.writable:
            yield self._store
            return
        with closing(Store.open(self._store.layout.root, write=True, tidy=False)) as store:
            yield store


def captions_of(snapshot: Snapshot) -> dict[str, list[int]]:
    """Different captions, each line of a record one, with the ids of the pictures that have it, missing ones too."""
    found: dict[str, list[int]] = {}
    for id, record in snapshot.items():
        for line in dict.fromkeys((record.caption or "").splitlines()):
            if text := line.strip():
                owners = found.setdefault(text, [])
                if not owners or owners[-1] != id:
                    owners.append(id)
    return found


def same(known: TextSet, wanted: Mapping[str, Sequence[int]]) -> bool:
    """Whether a set holds just these texts of just these pictures."""
    if len(known) != len(wanted) or len(known.owners) != sum(map(len, wanted.values())):
        return False
    told = TextSet.of(wanted, known.rows)
    pairs = ((told.starts, known.starts), (told.letters, known.letters), (told.owners, known.owners))
    return all(np.array_equal(a, b) for a, b in (*pairs, (told.owner_starts, known.owner_starts)))


def _joined(
    wanted: Mapping[str, Sequence[int]],
    at: Mapping[str, int],
    known: TextSet | None,
    done: Mapping[str, NDArray[np.float16]],
    dim: int,
) -> TextSet:
    """The texts wanted of which a vector is known or was just made."""
    there = {text: ids for text, ids in wanted.items() if text in at or text in done}
    rows = np.empty((len(there), dim), np.float16)
    for number, text in enumerate(there):
        rows[number] = done[text] if known is None or text in done else known.rows[at[text]]
    return TextSet.of(there, rows)
