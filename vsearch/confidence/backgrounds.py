"""The background of an index: made from a sample of it, kept beside its vectors, made again when it has grown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from vsearch import phrases
from vsearch.confidence.background import Background, Null, Rating, lifts, null_of, scaled, surrogates
from vsearch.errors import EncoderError, IndexCorrupt, IndexNotWritable
from vsearch.recipe import Modality
from vsearch.store import Snapshot, Store, derived, publishing
from vsearch.types import Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]
    Encode = Callable[[Sequence[str]], Matrix]
    Best = Callable[[Matrix, Modality], Matrix]

KIND = "background"
FEWEST = 64  # pictures; fewer tell too little of what a collection holds
GROWTH = 2.0  # made again when there are this many times more pictures, or fewer
SAMPLE = 2048
PICTURES = 256
TEXTS = 64  # phrases: with 48 to 1,024 of them the null distribution comes out the same within a fifth of its spread
QUERIES = 128


class Backgrounds:
    """Gives the background of a store as of a snapshot, and makes it.  Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._last: tuple[str, Background | None] = ("", None)

    def of(self, snapshot: Snapshot) -> Background | None:
        """The background that the metadata names; None when there is none, or it is damaged."""
        named = snapshot.derived(KIND)
        if named is None:
            return None
        with self._lock:
            if self._last[0] != named.name:
                path = self._store.layout.derived(snapshot.space.name) / named.name
                if derived.problem(path, named):
                    return None
                with suppress(FileNotFoundError, IndexCorrupt):
                    self._last = (named.name, Background.unpack(path.read_bytes(), snapshot.space.dim))
            return self._last[1] if self._last[0] == named.name else None

    def rating(self, snapshot: Snapshot, query: Matrix, kind: Kind) -> Rating | None:
        """How sure a score of a query is; None where confidences are not known.  query: (dim,) of unit length."""
        known = self.of(snapshot)
        return None if known is None else known.rating(query, kind)

    def renew(self, encode: Encode | None, best: Best) -> None:
        """Make the background if there is none, or the collection has grown twofold or shrunk by half since.

        encode: texts to (n, dim) unit vectors; None where the encoder knows no texts.  best: the highest score that
        each query (n, dim) of a modality finds in the collection, (n,).
        Cost: 64 texts embedded, 2,048 rows read, 384 searches.  What cannot be read or written now is left for the
        next time: the pictures are there without it.
        """
        with suppress(IndexCorrupt, IndexNotWritable):
            self._renew(encode, best)

    def _renew(self, encode: Encode | None, best: Best) -> None:
        with self._store.snapshot() as snapshot:
            ids, read_at, known = snapshot.live_ids(), snapshot.txn_id, self.of(snapshot)
            if len(ids) < FEWEST or (known is not None and known.count / GROWTH < len(ids) < known.count * GROWTH):
                return
            rng = np.random.default_rng(0)
            rows = snapshot.vectors(np.sort(rng.choice(ids, min(SAMPLE, len(ids)), replace=False)))
        made = make(len(ids), rows, _phrases(encode), best, rng)
        publishing.publish(self._store, KIND, lambda sink: sink.put(made.pack()), read_at)


def make(count: int, rows: Matrix, texts: Matrix | None, best: Best, rng: np.random.Generator) -> Background:
    """The background of a collection of ``count`` pictures, of which ``rows`` (n, dim) are a random sample."""
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)

    def null(queries: Matrix | None, kind: Kind) -> Null | None:
        if queries is None:
            return None
        searched: Modality = "image" if kind == "image" else "text"
        return null_of(lifts(best(queries, searched), queries, mean, kind))

    pictures = surrogates(rng.permutation(rows)[:PICTURES], QUERIES, rng)
    phrased = surrogates(texts, QUERIES, rng) if texts is not None else None
    mixed = scaled(pictures + phrased) if phrased is not None else None
    nulls = null(phrased, "text"), null(pictures, "image"), null(mixed, "mixed")
    return Background(count, mean.astype("<f4").tobytes(), *nulls)


def unknown(snapshot: Snapshot, kind: Kind) -> str:
    """Why there are no confidences, in words."""
    have = len(snapshot.live_ids())
    if have < FEWEST:
        return f"confidences need a collection of {FEWEST} pictures or more, and this one has {have}"
    what = {"text": "texts", "image": "pictures", "mixed": "queries of texts and pictures"}[kind]
    return f"there are no confidences for {what} yet: they are prepared by the next run of vsearch index"


def _phrases(encode: Encode | None) -> Matrix | None:
    with suppress(EncoderError):
        return encode(phrases.load()[:TEXTS]) if encode is not None else None
    return None
