"""Embed what an index holds into another space, from the pictures themselves, while the live space answers.

Every batch is durable before the next begins, and the rows that are there say how far it is: killed at any instant, the
next run goes on.  What was added to the live space meanwhile comes last and is embedded too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from vsearch.decode import Decoded, DecodePool, Job, Limits, Same
from vsearch.embed.external import is_external
from vsearch.errors import EncoderError, SourceError
from vsearch.ingest.embedding import embed_each
from vsearch.ingest.pipeline import BATCH_IMAGES, BATCH_SECONDS, PRUNE_SHARE
from vsearch.members.address import is_there
from vsearch.store import Record, Store, spaces
from vsearch.types import Failure, Progress, SpaceReport

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.embed import Encoder

WINDOW = 16 * BATCH_IMAGES  # records held at a time


@dataclass(frozen=True)
class RespaceOptions:
    """How to run.  yes: go on although more than a tenth of the pictures is not there."""

    limits: Limits = field(default_factory=Limits)
    workers: int | None = None
    yes: bool = False
    progress: Callable[[Progress], None] | None = None


def respace(store: Store, encoder: Encoder, options: RespaceOptions) -> SpaceReport:
    """Fill the space of an encoder with the pictures that it lacks, then make it the live one.

    Raises SourceError when too many pictures are not there, EncoderError, DiskFull, IndexNotWritable.
    """
    if is_external(encoder.info.name):
        raise EncoderError(f"{encoder.info.name} stands for a model that is not here, so it can embed no picture anew")
    name = encoder.info.space
    if not options.yes:
        _check_there(store, encoder)
    spaces.begin(store, encoder.info)
    run = _Run(store, encoder, options)
    with DecodePool(encoder.preprocess, options.limits, options.workers) as pool:
        while window := _pending(store, name, WINDOW):
            run.fill(window, pool)
    spaces.switch(store, name)
    store.collect_garbage()
    return run.report()


def _pending(store: Store, name: str, count: int) -> list[tuple[int, Record]]:
    with store.snapshot(name) as snapshot:
        return spaces.pending(snapshot, count)


def _check_there(store: Store, encoder: Encoder) -> None:
    """A disk that is not mounted must not empty the new space."""
    with store.snapshot() as snapshot:
        end = next((s.end_id for s in store.all_spaces() if s.name == encoder.info.space), 0)
        shown = [record.path for id, record in snapshot.items() if id >= end and not record.missing]
    gone = sum(not is_there(path) for path in shown)
    if gone > PRUNE_SHARE * len(shown):
        raise SourceError(
            f"{gone:,} of {len(shown):,} pictures are not there, more than a tenth: is a disk not mounted? "
            f"Nothing was changed. If they are really gone, add --yes"
        )


class _Run:
    """One run: what is waiting to be embedded, what was done."""

    def __init__(self, store: Store, encoder: Encoder, options: RespaceOptions) -> None:
        self._store, self._encoder, self._options = store, encoder, options
        self._name = encoder.info.space
        self._started = self._since = time.monotonic()
        with store.snapshot(None) as snapshot:
            kept = snapshot.kept_ids()
        end = next((s.end_id for s in store.all_spaces() if s.name == self._name), 0)
        self._total = int((kept >= end).sum())
        self._done = self._embedded = self._missing = 0
        self._failures: list[Failure] = []
        self._waiting: dict[int, NDArray[np.uint8] | None] = {}
        self._paths: dict[int, Decoded] = {}

    def fill(self, window: list[tuple[int, Record]], pool: DecodePool) -> None:
        """Embed the pictures of some records, in order."""
        outcomes = pool.map(Job(record.path) for _, record in window if not record.missing)
        for id, record in window:
            self._take(id, record, None if record.missing else next(outcomes))
        self._flush()

    def _take(self, id: int, record: Record, outcome: Decoded | Same | Failure | None) -> None:
        self._done += 1
        self._waiting[id] = None
        if outcome is None:
            self._missing += 1
        elif isinstance(outcome, Failure):
            self._failures.append(outcome)
        elif isinstance(outcome, Decoded) and outcome.content == record.content:
            self._waiting[id], self._paths[id] = outcome.pixels, outcome
        else:
            # Its vector would belong to another picture than its record; index will see the change.
            self._failures.append(Failure(record.path, "read", "changed since it was indexed"))
        if len(self._waiting) >= BATCH_IMAGES or time.monotonic() - self._since > BATCH_SECONDS:
            self._flush()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        there = [id for id, pixels in waiting.items() if pixels is not None]
        vectors: dict[int, NDArray[np.float32] | None] = dict.fromkeys(waiting)
        if there:
            pixels = np.stack([p for p in waiting.values() if p is not None])
            for id, outcome in zip(there, embed_each(self._encoder, pixels), strict=True):
                if isinstance(outcome, str):
                    self._failures.append(Failure(self._paths[id].path, "embed", outcome))
                else:
                    vectors[id] = outcome
                    self._embedded += 1
        self._paths.clear()
        if vectors:
            spaces.extend(self._store, self._name, vectors)
        self._since = time.monotonic()
        if self._options.progress is not None:
            told = (self._embedded, len(self._failures), self._since - self._started)
            self._options.progress(Progress(self._done, self._total, *told))

    def report(self) -> SpaceReport:
        """What was done."""
        seconds = time.monotonic() - self._started
        return SpaceReport(self._name, self._embedded, tuple(self._failures), self._missing, seconds)
