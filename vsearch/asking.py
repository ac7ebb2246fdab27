"""The part of an index that answers: what every query goes through, from its words to its hits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from vsearch.arguments import check_choice, check_ids, numbers_of, whole_number
from vsearch.confidence import Background, Backgrounds, unknown
from vsearch.errors import DimensionMismatch, QueryError
from vsearch.explain import Explanation, explain
from vsearch.feedback import refined
from vsearch.filters import Columns
from vsearch.generations import Generations
from vsearch.hits import Found, check_confidence, check_k, check_modality, distinct, shown
from vsearch.paging import older, pages, window
from vsearch.query import Decode, Embedded, decode_alone, embed, unit
from vsearch.recipe import Modality
from vsearch.results import Hits
from vsearch.search import search
from vsearch.store import Snapshot, Store
from vsearch.types import EncoderInfo, Query, QueryValue, Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.embed import Encoder

    Bitmap = NDArray[np.uint8]
    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]


class Asking:
    """Searching, from any number of threads; ``Index`` gives it the rest.  columns: what filters read."""

    columns: Columns
    _store: Store
    _generations: Generations
    _backgrounds: Backgrounds
    _decode: Decode = staticmethod(decode_alone)

    @property
    def encoder(self) -> Encoder:
        """The live space's encoder."""
        raise NotImplementedError

    def _encoder_of(self, info: EncoderInfo) -> Encoder:
        """The encoder of that description."""
        raise NotImplementedError

    def _captions(self, xq: Matrix, k: int) -> Hits:
        """The captions that fit best."""
        raise NotImplementedError

    def search(
        self,
        query: str | QueryValue | Query,
        k: int = 10,
        *,
        modality: Modality | None = None,
        target: Target = "pictures",
        where: str | None = None,
        offset: int = 0,
        more: Sequence[int] = (),
        less: Sequence[int] = (),
        include_query: bool = False,
        min_confidence: float | None = None,
    ) -> Hits:
        """Find the k pictures that fit best, or with ``target="captions"`` the k captions of the collection.

        query: str is always text; Path and PIL image are always pictures; Query combines several.
        Pictures that are part of the query are left out, by id, path or content, unless ``include_query``.
        where: a condition on the columns, in SQL: ``"taken >= '2024-01-01' and folder like 'trips/%'"``.
        offset: leave out so many of the best: pages of one size fit together while nothing changes.
        more, less: ids of pictures marked as right and as wrong, by which the query is moved (see ``feedback``); the
        wrong ones are left out.  min_confidence: in [0, 1], leave out hits with less.
        Returns at most k hits, best first; files with the same bytes are one hit, and so are pictures with the same
        caption when captions are wanted, which have no confidence.
        Captions are compared exactly, by the vectors of their lines, which are made when first asked for and kept;
        they know neither ``where`` nor ``offset``.
        Raises QueryError, FilterError, DecodeError, EncoderError, IndexCorrupt.
        """
        check_k(k, offset)
        check_confidence(min_confidence)
        check_choice(target, get_args(Target), "target")
        check_modality(modality)
        told = self._embed(query, include_query, more, less)
        if target == "captions":
            if where is not None or offset:
                raise QueryError("captions are searched without where and offset; leave them out")
            return self._captions(told.vector, k)
        asked = modality or told.modality
        with self._store.snapshot(told.space) as snapshot:
            allowed = self.columns.matching(snapshot, where)

            def find(count: int, before: frozenset[int]) -> list[Found]:
                return self._distinct(snapshot, told, count, asked, told.exclude | before, allowed)

            return self._shown(snapshot, told, asked, window(find, k, offset), offset + 1, min_confidence)

    async def asearch(self, query: str | QueryValue | Query, k: int = 10, **options: Any) -> Hits:
        """Search in a thread, so that an event loop goes on meanwhile: takes, returns and raises as ``search``.

        One that is cancelled is no longer waited for; its thread ends by itself.
        """
        return await asyncio.to_thread(self.search, query, k, **options)

    def pages(
        self,
        query: str | QueryValue | Query,
        page: int = 20,
        *,
        modality: Modality | None = None,
        where: str | None = None,
        more: Sequence[int] = (),
        less: Sequence[int] = (),
        include_query: bool = False,
        min_confidence: float | None = None,
    ) -> Iterator[Hits]:
        """All results, page by page, best first within and as a rule between pages; the last may have fewer.

        What is added after the first page was asked for does not turn up, what is removed is left out from then on,
        and nothing is shown twice or pushed off a page.  Takes what ``search`` takes, and raises what it raises.
        """
        check_k(page)
        check_confidence(min_confidence)
        check_modality(modality)
        told = self._embed(query, include_query, more, less)
        asked = modality or told.modality

        def turn(snapshot: Snapshot, before: frozenset[int], watermark: int, first: int) -> Hits:
            allowed = self.columns.matching(snapshot, where)
            if watermark < snapshot.head.next_id:
                allowed = older(snapshot.live if allowed is None else allowed, watermark)
            found = self._distinct(snapshot, told, page, asked, told.exclude | before, allowed)
            return self._shown(snapshot, told, asked, found, first, min_confidence)

        return pages(lambda: self._store.snapshot(told.space), page, turn)

    def search_vectors(
        self, xq: Matrix, k: int = 10, *, modality: Modality = "image", where: str | None = None
    ) -> tuple[Matrix, Ids]:
        """Find the k nearest stored vectors for each query.

        xq: (nq, dim) float32; scaled to unit length here.  modality: where the queries come from, which decides
        how widely the ANN index is searched.  where: a condition on the columns, as for ``search``.
        Returns scores (nq, k) float32, cosine in [-1, 1], highest first; ids (nq, k) int64, -1 where fewer than k
        exist.  Raises DimensionMismatch, QueryError, FilterError, IndexClosed.
        """
        check_k(k)
        check_modality(modality)
        xq = np.atleast_2d(numbers_of(xq, "query vectors").astype(np.float32, copy=False))
        with self._store.snapshot() as snapshot:
            if xq.ndim != 2 or xq.shape[1] != snapshot.space.dim:
                raise DimensionMismatch(
                    f"queries of shape {xq.shape}; this index holds {snapshot.space.dim} dimensions"
                )
            return self._find(snapshot, unit(xq), k, modality, frozenset(), self.columns.matching(snapshot, where))

    def background(self, snapshot: Snapshot) -> Background | None:
        """What confidences are told from, as of a snapshot of ``store``; None where they are not known."""
        return self._backgrounds.of(snapshot)

    def explain(
        self, query: str | QueryValue | Query, id: int, k: int = 10, *, modality: Modality | None = None
    ) -> Explanation:
        """Tell why a picture is where it is among the k results of a query, or is not.

        Compares the query with everything, and looks through the lists of the FAISS index: slow, and exact.
        Raises QueryError for an unknown id, and what ``search`` raises.
        """
        check_k(k)
        check_modality(modality)
        told, id = self._embed(query), whole_number(id, "an id")
        asked = modality or told.modality
        with self._store.snapshot(told.space) as snapshot:
            _, ids = self._find(snapshot, told.vector, k, asked, told.exclude)
            generation = self._generations.of(snapshot)
            ann, settings = (generation.index, generation.recipe.search(asked)) if generation else (None, None)
            return explain(snapshot, told.vector[0], id, ids[0], ann, settings)

    def _distinct(
        self,
        snapshot: Snapshot,
        told: Embedded,
        k: int,
        modality: Modality,
        exclude: frozenset[int],
        allowed: Bitmap | None,
    ) -> list[Found]:
        def find(count: int, hidden: frozenset[int]) -> tuple[NDArray[np.float32], Ids]:
            scores, ids = self._find(snapshot, told.vector, count, modality, hidden, allowed)
            return scores[0], ids[0]

        return distinct(snapshot, k, find, exclude)

    def _find(
        self,
        snapshot: Snapshot,
        xq: Matrix,
        k: int,
        modality: Modality,
        exclude: frozenset[int],
        allowed: Bitmap | None = None,
    ) -> tuple[Matrix, Ids]:
        check_k(k)
        return search(snapshot, xq, k, modality, self._generations.of(snapshot), exclude, allowed)

    def _shown(
        self,
        snapshot: Snapshot,
        told: Embedded,
        asked: Modality,
        found: list[Found],
        first: int,
        least: float | None,
    ) -> Hits:
        """Results as hits with ranks from ``first`` on, those of at least that confidence.  Raises QueryError."""
        rate = self._backgrounds.rating(snapshot, told.vector[0], told.kind(asked))
        if least is not None:
            if rate is None:
                raise QueryError(unknown(snapshot, told.kind(asked)))
            found = [one for one in found if rate(one.score) >= least]
        return shown(found, first, rate)

    def _embed(
        self,
        query: str | QueryValue | Query,
        include_query: bool = False,
        more: Sequence[int] = (),
        less: Sequence[int] = (),
    ) -> Embedded:
        told = query if isinstance(query, Query) else Query(query)
        found = embed(told, self._store, self._encoder_of, include_query, self._decode)
        more, less = check_ids(more, "more"), check_ids(less, "less")
        if more or less:
            with self._store.snapshot(found.space) as snapshot:
                found = refined(snapshot, found, more, less)
        return found
