"""Pictures with captions, read from any source and embedded: what retrieval is measured on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vsearch.decode import Decoded, DecodePool, Job
from vsearch.errors import QueryError
from vsearch.types import Failure, Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.embed import Encoder
    from vsearch.sources import Source

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

OnProgress = Callable[[Progress], None]

BATCH = 64


@dataclass(frozen=True)
class Pairs:
    """paths: (ni) pictures.  captions: (nt), owner: (nt,) row of the picture that each tells of."""

    paths: tuple[bytes, ...]
    captions: tuple[str, ...]
    owner: Ids
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class Vectors:
    """Pairs as an encoder sees them.

    xi: (ni, dim) pictures, xt: (nt, dim) captions, owner: (nt,) row in ``xi``.  Those that could not be read are left
    out with their captions, and are in ``failures``.
    """

    xi: Matrix
    xt: Matrix
    owner: Ids
    failures: tuple[Failure, ...]


def read_pairs(source: Source) -> Pairs:
    """The pictures of a source that have captions; each line of a caption is one.

    Raises SourceError, and QueryError when there are fewer than two captioned pictures.
    """
    paths: list[bytes] = []
    captions: list[str] = []
    owner: list[int] = []
    failures: list[Failure] = []
    for item in source:
        if isinstance(item, Failure):
            failures.append(item)
            continue
        told = [line.strip() for line in (item.caption or "").splitlines() if line.strip()]
        if told:
            owner += [len(paths)] * len(told)
            captions += told
            paths.append(item.path)
    if len(paths) < 2:
        raise QueryError(
            f"{len(paths)} readable pictures with captions, where two are the least to tell apart; give a table with "
            f"the columns filepath and title, or a folder with captions beside the pictures"
        )
    return Pairs(tuple(paths), tuple(captions), np.array(owner, np.int64), tuple(failures))


def embed_pairs(pairs: Pairs, encoder: Encoder, progress: OnProgress | None = None) -> Vectors:
    """Embed pictures and captions.  Raises EncoderError, and QueryError when fewer than two pictures can be read."""
    xi, failures = embed_pictures(pairs.paths, encoder, progress)
    row, kept = _rows(pairs, failures)
    captions = [pairs.captions[t] for t in np.flatnonzero(kept)]
    if len(xi) < 2:
        raise QueryError(f"only {len(xi)} of {len(pairs.paths)} pictures can be read: {failures[0].reason}")
    return Vectors(xi, encoder.encode_texts(captions), row[pairs.owner[kept]], (*pairs.failures, *failures))


def _rows(pairs: Pairs, failures: Iterable[Failure]) -> tuple[Ids, NDArray[np.bool_]]:
    """Row of each picture among those that could be read (-1), and which captions have one."""
    lost = {failure.path for failure in failures}
    there = np.array([path not in lost for path in pairs.paths])
    row = np.where(there, np.cumsum(there) - 1, -1)
    return row, there[pairs.owner]


def embed_pictures(
    paths: Iterable[bytes], encoder: Encoder, progress: OnProgress | None = None
) -> tuple[Matrix, list[Failure]]:
    """Embed picture files, decoded ahead in batches: ((n, dim) of those that can be read, in order; the others)."""
    named = list(paths)
    rows: list[Matrix] = []
    failures: list[Failure] = []
    waiting: list[NDArray[np.uint8]] = []
    started = time.monotonic()
    with DecodePool(encoder.preprocess) as pool:
        for done, outcome in enumerate(pool.map(map(Job, named)), 1):
            if isinstance(outcome, Decoded):
                waiting.append(outcome.pixels)
            elif isinstance(outcome, Failure):
                failures.append(outcome)
            if len(waiting) == BATCH or (done == len(named) and waiting):
                rows.append(encoder.encode_images(np.stack(waiting)))
                waiting = []
                if progress is not None:
                    told = done - len(failures)
                    progress(Progress(done, len(named), told, len(failures), time.monotonic() - started))
    return np.concatenate(rows) if rows else np.zeros((0, encoder.info.dim), np.float32), failures
