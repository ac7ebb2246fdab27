"""The road of a query: a vector, one moment of the store, ranked matches, confidences, hits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

import numpy as np

from vsearch.arguments import check_choice, check_number, whole_number
from vsearch.confidence import Backgrounds, unknown
from vsearch.confidence.backgrounds import KIND as BACKGROUND
from vsearch.embed import load_pinned
from vsearch.errors import DimensionMismatch, QueryError
from vsearch.filters import Columns
from vsearch.recipe import Modality
from vsearch.results import Hits
from vsearch.search.candidates import nearest
from vsearch.search.generations import Generations
from vsearch.search.query import Decode, QueryVector, decode_alone, embed, unit
from vsearch.search.ranking import MAX_K, Match, as_hits, older, page, ranked
from vsearch.store import Snapshot, Space, Store
from vsearch.types import EncoderInfo, Part, Query, QueryValue

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.embed import Encoder
    from vsearch.search.explain import Explanation

    Bitmap = NDArray[np.uint8]
    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Request:
    """What is searched for, and what of it is wanted.

    modality: searched as; by default what the query is.  where: a condition on the columns.  more, less: ids of
    pictures marked as right and as wrong.  include_query: show pictures that are part of the query too.
    min_confidence: in [0, 1], leave out hits with less.
    """

    query: str | QueryValue | Query
    modality: Modality | None = None
    where: str | None = None
    more: Sequence[int] = ()
    less: Sequence[int] = ()
    include_query: bool = False
    min_confidence: float | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """The terms of the query."""
        return self.query.parts if isinstance(self.query, Query) else (Part(self.query),)


class Searcher:
    """Searches one index, from any number of threads.

    encoder: embeds queries; loaded when first used, and when the index has changed to another one.
    """

    def __init__(
        self,
        store: Store,
        columns: Columns,
        encoder: Encoder | None,
        notice: Callable[[str], None],
    ) -> None:
        self._store = store
        self._columns = columns
        self.encoder = encoder
        self._loading = threading.Lock()
        self._through: Callable[[Encoder], Encoder] = lambda loaded: loaded
        self._decode: Decode = decode_alone
        self.generations = Generations(store, notice)
        self.backgrounds = Backgrounds(store)

    def encoder_of(self, info: EncoderInfo) -> Encoder:
        """The encoder of a description.  Raises EncoderUnavailable, EncoderMismatch."""
        with self._loading:
            if self.encoder is None or self.encoder.info.digest != info.digest:
                self.encoder = self._through(self.load(info))
            return self.encoder

    def load(self, info: EncoderInfo) -> Encoder:
        """Load an encoder by its description.  Raises EncoderUnavailable, EncoderMismatch."""
        with self._store.snapshot() as snapshot:
            before = snapshot.made_with(info.space)
        return load_pinned(info, self._store.layout.root.name, before=before)

    def route(self, through: Callable[[Encoder], Encoder], decode: Decode) -> None:
        """Embed with what ``through`` makes of each encoder that is loaded, read query pictures by ``decode``."""
        with self._loading:
            self._through, self._decode = through, decode

    def search(self, request: Request, k: int, offset: int = 0) -> Hits:
        """Hits ``offset`` to ``offset + k``; see ``Index.search``."""
        vector, space = self.embed(request)
        with self._store.snapshot(space.name) as snapshot:
            query = self._resolved(snapshot, request, vector)
            allowed = None if request.where is None else self._columns.matching(snapshot, request.where)
            matches = self._ranked(snapshot, request, query, k, allowed)
            return self._hits(snapshot, request, query, page(matches, k, offset), offset + 1)

    def pages(self, request: Request, k: int) -> Iterator[Hits]:
        """All hits, k at a time, each page of its own moment; see ``Index.pages``.

        The query is embedded, and moved by feedback, before this returns: pictures that go later change nothing of it.
        """
        vector, space = self.embed(request)
        with self._store.snapshot(space.name) as snapshot:
            query = self._resolved(snapshot, request, vector)
        return self._pages(request, query, space.name, k)

    def _pages(self, request: Request, first: QueryVector, space: str, k: int) -> Iterator[Hits]:
        shown: set[int] = set()
        watermark = None
        while True:
            with self._store.snapshot(space) as snapshot:
                watermark = snapshot.head.next_id if watermark is None else watermark
                query = replace(first, ids=first.ids | shown)
                allowed = self._columns.matching(snapshot, request.where)
                if watermark < snapshot.head.next_id:
                    allowed = older(snapshot.live if allowed is None else allowed, watermark)
                matches = page(self._ranked(snapshot, request, query, k, allowed), k)
                hits = self._hits(snapshot, request, query, matches, len(shown) + 1)
            if hits:
                yield hits
            if len(hits) < k:
                return
            shown.update(hit.id for hit in hits)

    def search_vectors(self, xq: Matrix, k: int, modality: Modality, where: str | None) -> tuple[Matrix, Ids]:
        """The k nearest stored vectors of each query, (nq, dim); see ``Index.search_vectors``."""
        with self._store.snapshot() as snapshot:
            if xq.ndim != 2 or xq.shape[1] != snapshot.space.dim:
                raise DimensionMismatch(
                    f"queries of shape {xq.shape}; this index holds {snapshot.space.dim} dimensions"
                )
            return self.nearest(snapshot, unit(xq), k, modality, allowed=self._columns.matching(snapshot, where))

    def explain(self, request: Request, id: int, k: int) -> Explanation:
        """Why a picture is where it is among the k results of a query; see ``Index.explain``."""
        from vsearch.search.explain import explain

        vector, space = self.embed(request)
        with self._store.snapshot(space.name) as snapshot:
            query = self._resolved(snapshot, request, vector)
            modality = request.modality or query.modality
            _, ids = self.nearest(snapshot, query.vector, k, modality, query.ids)
            searchable = self.generations.of(snapshot)
            ann, settings = (searchable.index, searchable.recipe.search(modality)) if searchable else (None, None)
            return explain(snapshot, query.vector[0], id, ids[0], ann, settings)

    def embed(self, request: Request) -> tuple[QueryVector, Space]:
        """The query as a vector, and the space in which it lies: the index may change to another one meanwhile."""
        space, info = self._store.live_space()

        def stored(id: int) -> Matrix:
            with self._store.snapshot(space.name) as snapshot:
                return stored_vector(snapshot, id)

        return embed(request.parts, info, lambda: self.encoder_of(info), stored, self._decode), space

    def vector(self, request: Request) -> tuple[Matrix, str]:
        """The query after feedback, as a vector (1, dim) of unit length, and the name of the space in which it lies."""
        query, space = self.embed(request)
        if request.more or request.less:
            with self._store.snapshot(space.name) as snapshot:
                query = self._resolved(snapshot, request, query)
        return query.vector, space.name

    def nearest(
        self,
        snapshot: Snapshot,
        xq: Matrix,
        k: int,
        modality: Modality,
        exclude: frozenset[int] = frozenset(),
        allowed: Bitmap | None = None,
    ) -> tuple[Matrix, Ids]:
        """The k nearest pictures of a moment, by the ANN index that it names; see ``candidates.nearest``."""
        check_k(k)
        searchable = None if snapshot.space.generation is None else self.generations.of(snapshot)
        return nearest(snapshot, xq, k, modality, searchable, exclude, allowed)

    def _resolved(self, snapshot: Snapshot, request: Request, query: QueryVector) -> QueryVector:
        """The query after feedback, its ``ids`` those of all pictures that are to be left out."""
        excluded = frozenset[int]()
        if not request.include_query:
            indexed = {id for path in query.paths if (id := snapshot.at_path(path)) is not None}
            excluded = query.ids.union(indexed, *(snapshot.with_content(content) for content in query.contents))
        query = replace(query, ids=excluded)
        if request.more or request.less:
            from vsearch.search.feedback import refined

            return refined(snapshot, query, request.more, request.less)
        return query

    def _ranked(
        self, snapshot: Snapshot, request: Request, query: QueryVector, k: int, allowed: Bitmap | None
    ) -> Iterator[Match]:
        modality = request.modality or query.modality

        def find(count: int, hidden: frozenset[int]) -> tuple[NDArray[np.float32], Ids]:
            scores, ids = self.nearest(snapshot, query.vector, count, modality, hidden, allowed)
            return scores[0], ids[0]

        return ranked(snapshot, k, find, query.ids)

    def _hits(self, snapshot: Snapshot, request: Request, query: QueryVector, matches: list[Match], first: int) -> Hits:
        """Matches as hits, those of at least the confidence asked for.  Raises QueryError."""
        kind = query.kind(request.modality or query.modality)
        rate = None
        if snapshot.derived(BACKGROUND) is not None:
            rate = self.backgrounds.rating(snapshot, query.vector[0], kind)
        least = request.min_confidence
        if least is not None:
            if rate is None:
                raise QueryError(unknown(snapshot, kind))
            matches = [match for match in matches if rate(match.score) >= least]
        return as_hits(matches, first, rate)


def stored_vector(snapshot: Snapshot, id: int) -> Matrix:
    """The stored vector of a picture, (dim,).  Raises QueryError for an id that there is not, IndexCorrupt."""
    if snapshot.record(id) is None:
        raise QueryError(f"no picture has the id {id}; ids are shown by: vsearch query --json")
    if snapshot.is_absent(id):
        raise QueryError(f"the picture {id} could not be read when the encoder was changed; index it again")
    row: Matrix = snapshot.vectors(np.array([id], np.int64))[0]
    return row


def check_k(k: int, offset: int = 0) -> None:
    """Raise QueryError for numbers of results that nobody can have."""
    if type(k) is type(offset) is int and 1 <= k <= MAX_K and 0 <= offset <= MAX_K - k:
        return
    k, offset = whole_number(k, "k"), whole_number(offset, "offset")
    if not 1 <= k <= MAX_K:
        raise QueryError(f"k is {k}; ask for 1 to {MAX_K:,} results")
    if not 0 <= offset <= MAX_K - k:
        raise QueryError(f"offset is {offset}; with {k:,} results it is 0 to {MAX_K - k:,}")


def check_confidence(least: float | None) -> None:
    """Raise QueryError for a confidence that nothing can have; None asks for none."""
    if least is not None:
        check_number(least, "min_confidence")
    if least is not None and not 0 <= least <= 1:
        raise QueryError(f"a confidence of at least {least}; it is in [0, 1]")


def check_modality(modality: Modality | None) -> None:
    """Raise QueryError for one that there is not; None leaves it to the query."""
    if modality is not None:
        check_choice(modality, get_args(Modality), "modality")
