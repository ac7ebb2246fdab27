"""Pages after the first: where each query stands, kept for as long as a reader may still scroll."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vsearch.errors import IndexClosed
from vsearch.results import Hits
from vsearch.server.faults import Refused

if TYPE_CHECKING:
    from vsearch.types import Hit

NONE = Hits.of([])
MOST_QUERIES = 256
MOST_HITS = 5000  # of one query; what was shown must be remembered, so that nothing is shown twice


@dataclass
class _Query:
    """pages: gives the next page at each step.  page: the latest, kept for a client that asks for it again."""

    pages: Iterator[Hits]
    collection: str
    k: int
    page: Hits
    best: float | None
    number: int = 1
    shown: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Page:
    """best: confidence of the best hit of the query.  cursor: asks for the next page; None after the last."""

    hits: Hits
    cursor: str | None
    best: float | None


class Cursors:
    """The latest queries that have further pages.  A cursor asks for the same page each time it is used."""

    def __init__(self) -> None:
        self._queries: OrderedDict[str, _Query] = OrderedDict()
        self._guard = threading.Lock()

    def first(self, pages: Iterator[Hits], k: int, collection: str, best: float | None) -> Page:
        """The first page of a query, with a cursor if there may be more.  best: confidence of its best hit."""
        hits = next(pages, NONE)
        if len(hits) < k:
            return Page(hits, None, best)
        key = secrets.token_urlsafe(12)
        with self._guard:
            self._queries[key] = _Query(pages, collection, k, hits, best, shown=len(hits))
            if len(self._queries) > MOST_QUERIES:
                self._queries.popitem(last=False)
        return Page(hits, f"{key}.1", best)

    def collection_of(self, cursor: str) -> str:
        """The collection that a cursor's query was about.  Raises Refused."""
        return self._find(cursor)[1].collection

    def next(self, cursor: str) -> Page:
        """The page that a cursor stands for.  Raises Refused (410) when it is no longer known."""
        key, query, number = self._find(cursor)
        with query.guard:
            if number == query.number:
                try:
                    query.page = next(query.pages, NONE)
                except IndexClosed:  # the collection was replaced by another one
                    raise _expired() from None
                query.number += 1
                query.shown += len(query.page)
            elif number != query.number - 1:
                raise _expired()
            more = len(query.page) == query.k and query.shown < MOST_HITS
            return Page(query.page, f"{key}.{query.number}" if more else None, query.best)

    def _find(self, cursor: str) -> tuple[str, _Query, int]:
        key, _, number = cursor.partition(".")
        with self._guard:
            query = self._queries.get(key)
            if query is None or not (number.isascii() and number.isdecimal()):
                raise _expired()
            self._queries.move_to_end(key)
        return key, query, int(number)


def pages_of(first: Sequence[Hit], others: Iterator[Hits], k: int) -> Iterator[Hits]:
    """Pages of k hits: those of ``first``, then those of the pages behind them."""
    waiting = list(first)
    while waiting:
        while len(waiting) < k and (more := next(others, NONE)):
            waiting += more
        yield Hits.of(waiting[:k])
        del waiting[:k]
        if not waiting:
            waiting += next(others, NONE)


def _expired() -> Refused:
    return Refused(410, "CursorExpired", "this cursor is no longer known; search again")
