"""Take in what another program embedded, part by part, after a look at whether the encoder is the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vsearch.errors import DimensionMismatch, SourceError
from vsearch.ingest.ondisk import compare
from vsearch.ingest.vectors import add_vectors, check_rows, name_of
from vsearch.sources import EmbeddedSource
from vsearch.sources.embedded import Embedded
from vsearch.store import Store
from vsearch.types import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.embed import Encoder

SAMPLE, SAMPLE_PARTS = 64, 8  # pictures, from so many parts
TRIES = 512  # rows of a part that are looked at for pictures that are on disk


@dataclass(frozen=True, slots=True)
class EmbeddedReport:
    """What ``Index.add_embedded`` did.

    added: rows that were stored.  compared: pictures on disk that were embedded to see whether the encoder is the one
    that made the vectors.  lowest: the least of their cosines, None when none was there.
    """

    added: int
    compared: int = 0
    lowest: float | None = None
    seconds: float = 0.0


def add_embedded(
    store: Store,
    source: EmbeddedSource,
    encoder: Encoder | None,
    progress: Callable[[Progress], None] | None = None,
) -> EmbeddedReport:
    """Store all rows of a source; see ``Index.add_embedded``.

    encoder: that of the index; None when it only has a name, so that nothing can be compared.
    """
    started = time.monotonic()
    if source.dim != (dim := store.encoder_info.dim):
        raise DimensionMismatch(
            f"{source.name}: has vectors of {source.dim} dimensions, and {store.encoder_info.name} makes {dim}; "
            f"name the encoder that made them"
        )
    for part in source:  # so that a bad row of the last one leaves nothing of the first behind
        _check(dim, part, source.name)
    cosines = [] if encoder is None else compare(encoder, _sample(source), source.name)
    done = 0
    for part in source:

        def tell(now: Progress, before: int = done) -> None:
            if progress is not None:
                count = before + now.done
                progress(Progress(count, len(source), count, 0, time.monotonic() - started))

        add_vectors(store, part.uris, part.rows, part.columns, tell, on_disk=encoder is not None)
        done += len(part.rows)
    return EmbeddedReport(done, len(cosines), cosines[0] if cosines else None, time.monotonic() - started)


def _check(dim: int, part: Embedded, name: str) -> None:
    """See whether all rows of a part can be stored.  name: of the source, for parts that have none."""
    try:
        check_rows(dim, part.uris, part.rows, part.columns)
    except (SourceError, DimensionMismatch) as error:
        raise type(error)(f"{part.name or name}: {error}") from error


def _sample(source: EmbeddedSource) -> Iterator[tuple[bytes, NDArray[np.floating]]]:
    """Paths and vectors of up to 64 pictures that are on disk, from parts and rows evenly spread."""
    numbers = _spread(len(source.parts), SAMPLE_PARTS)
    for number in numbers:
        part = source.read(number)
        names = [(row, name_of(part.uris[row])) for row in _spread(len(part.rows), TRIES)]
        there = [(row, name) for row, name in names if name.startswith(b"/") and os.path.isfile(name)]
        for at in _spread(len(there), SAMPLE // len(numbers)):
            row, name = there[at]
            yield name, np.asarray(part.rows[row])


def _spread(count: int, most: int) -> list[int]:
    """At most so many of the numbers below ``count``, evenly spread."""
    wanted = min(count, most)
    return [at * count // wanted for at in range(wanted)]
