"""All that a running server holds, and lets go of at its end."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vsearch.errors import VsearchError
from vsearch.server.collection import Collection, collections
from vsearch.server.cursors import Cursors
from vsearch.server.faults import Refused
from vsearch.server.metrics import Metrics
from vsearch.server.pixels import Pixels
from vsearch.server.plane import Maps
from vsearch.server.settings import Settings
from vsearch.server.shards import NAME, Shards
from vsearch.server.tokens import Tokens
from vsearch.server.work import Work

if TYPE_CHECKING:
    from vsearch.server.reranking import Reranking


class Service:
    """A context manager.  Raises what opening the indexes raises."""

    def __init__(self, paths: list[Path], settings: Settings) -> None:
        self.settings = settings
        self.pixels = Pixels(settings.limits)
        self.reranking = self._reranking()
        self.collections = self._collections(paths)
        self.cursors = Cursors()
        self.maps = Maps()
        self.tokens = Tokens(settings.token)
        self.work = Work(settings.limits)
        self.metrics = Metrics(self)
        self.started = time.time()

    def _collections(self, paths: list[Path]) -> dict[str, Collection | Shards]:
        if self.settings.ray is None:
            return {**collections(paths, self.pixels.decode)}
        return {NAME: Shards(self.settings.ray, paths, self.pixels.decode)}

    def _reranking(self) -> Reranking | None:
        folder, limits = self.settings.reranker, self.settings.limits
        if folder is None:
            return None
        from vsearch.server.reranking import Reranking  # loads torch, which nothing else may need

        return Reranking(folder, self.pixels, limits.work_seconds / 2)

    def collection(self, name: str | None) -> Collection | Shards:
        """The collection of a name, or the first.  Raises Refused."""
        if name is None:
            return next(iter(self.collections.values()))
        if name not in self.collections:
            raise Refused(404, "NotFound", "there is no collection of that name; see GET /collections")
        return self.collections[name]

    def warm(self) -> None:
        """Load what the first query of each collection would wait for.  One that cannot embed texts has nothing."""
        for collection in self.collections.values():
            with suppress(VsearchError):
                collection.warm()
        if self.reranking is not None:
            self.reranking.warm()

    def close(self) -> None:
        """Wait for what is being answered, then release everything."""
        self.work.close()
        for collection in self.collections.values():
            collection.close()
        self.pixels.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
