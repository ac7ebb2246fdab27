"""Questions: search, similar pictures, labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from vsearch.errors import QueryError
from vsearch.server import answers, schemas
from vsearch.server.cursors import NONE, pages_of
from vsearch.server.pixels import as_file
from vsearch.server.shards import Shards
from vsearch.types import Box, Crop, Query
from vsearch.types import Part as Term

if TYPE_CHECKING:
    from vsearch.index import Index
    from vsearch.results import Hits
    from vsearch.server.service import Service
    from vsearch.types import Hit

    Pages = Callable[[Index], Iterator[Hits]]
    Order = Callable[[Index, Hits], Sequence[Hit]]


def search(service: Service, asked: schemas.Search) -> schemas.Answer:
    """Find pictures by texts, pictures and ids; a cursor asks for the next page."""
    if asked.cursor is not None:
        return _next(service, asked.cursor)
    with ExitStack() as files:
        query = Query(*(_term(part, files) for part in asked.parts))
        collection = service.collection(asked.collection)
        if isinstance(collection, Shards):
            return collection.search(query, asked)
        depth, order = _order(service, asked) if asked.rerank else (0, None)

        def pages(index: Index) -> Iterator[Hits]:
            return index.pages(
                query,
                max(asked.k, depth),
                where=asked.where,
                more=asked.more,
                less=asked.less,
                include_query=asked.include_query,
                min_confidence=asked.min_confidence,
            )

        return _first(service, asked.collection, pages, asked.k, order)


def similar(service: Service, id: int, asked: schemas.Similar) -> schemas.Answer:
    """Find pictures that look like one, which is not among them."""
    if asked.cursor is not None:
        return _next(service, asked.cursor)

    def pages(index: Index) -> Iterator[Hits]:
        with index.store.snapshot() as snapshot:
            answers.record_of(snapshot, id)
        return index.pages(Query.like(id), asked.k, where=asked.where)

    return _first(service, asked.collection, pages, asked.k)


def classify(service: Service, asked: schemas.Classify) -> schemas.Classes:
    """Tell which of some labels pictures show."""
    if (asked.image is None) == (not asked.ids):
        raise QueryError("give ids, or one image")

    def classified(index: Index) -> schemas.Classes:
        known = index.classifier(asked.labels)

        def labels(query: Query | Path) -> list[schemas.Label]:
            return [schemas.Label(one.name, round(one.confidence, 6)) for one in index.classify(query, known)]

        if asked.image is not None:
            with as_file(asked.image) as path:
                return schemas.Classes([schemas.Classified(None, labels(path))])
        return schemas.Classes([schemas.Classified(id, labels(Query.like(id))) for id in asked.ids])

    return service.collection(asked.collection).ask(classified)


def _term(part: schemas.Part, files: ExitStack) -> Term:
    given = [value for value in (part.text, part.image, part.id) if value is not None]
    if len(given) != 1:
        raise QueryError("each part of a query has one of text, image and id")
    if part.crop is not None and part.image is None:
        raise QueryError("only an image has a crop")
    if part.image is None:
        value: str | int = part.text if part.text is not None else part.id or 0
        return Term(value, part.weight)
    path = files.enter_context(as_file(part.image))
    return Term(path if part.crop is None else Crop(path, Box(*part.crop, "fractions")), part.weight)


def _order(service: Service, asked: schemas.Search) -> tuple[int, Order]:
    """How many of the best hits are re-ranked, and how.  Raises QueryError when they cannot be."""
    reranking = service.reranking
    if reranking is None:
        raise QueryError("this server has no re-ranker; it is started with one by: vsearch serve --rerank FOLDER")
    text = asked.parts[0].text if len(asked.parts) == 1 else None
    if text is None or asked.parts[0].weight <= 0:
        raise QueryError("rerank reads one text, and nothing else")
    return reranking.depth, lambda index, hits: reranking.order(index, text, hits)


def _first(service: Service, name: str | None, pages: Pages, k: int, order: Order | None = None) -> schemas.Answer:
    """The first page.  order: puts the hits of the first of ``pages``, which may be longer than k, in another order."""
    collection = service.collection(name)
    started = time.perf_counter()

    def answered(index: Index) -> schemas.Answer:
        others = pages(index)
        first = next(others, NONE)
        shown = chain([first], others) if order is None else pages_of(order(index, first), others, k)
        best = first[0].confidence if first else None
        found = service.cursors.first(shown, k, collection.name, best)
        return answers.page(index, found, 1000 * (time.perf_counter() - started))

    return collection.ask(answered)


def _next(service: Service, cursor: str) -> schemas.Answer:
    collection = service.collection(service.cursors.collection_of(cursor))
    started = time.perf_counter()
    found = service.cursors.next(cursor)
    return collection.ask(lambda index: answers.page(index, found, 1000 * (time.perf_counter() - started)))
