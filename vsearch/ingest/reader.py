"""Where pictures are decoded and embedded: here, or by workers elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from vsearch.decode import Decoded, DecodePool, Job, Limits, Same
from vsearch.ingest.embedding import embed_each
from vsearch.types import EncoderInfo, Failure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.embed import Encoder

    Vector = NDArray[np.float32]

Outcome = Decoded | Same | Failure
LOOK_AHEAD = 256  # pictures: the next batch is decoded while this one is embedded


class Reader(Protocol):
    """Turns files into pixels, and pixels into vectors."""

    def read(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """An outcome for each job, in their order; jobs are taken as they are needed."""

    def embed(self, pictures: Sequence[Decoded]) -> list[Vector | str]:
        """The vector (dim,) of each of these outcomes, or why it has none."""


Opening = Callable[[EncoderInfo, Limits], AbstractContextManager[Reader]]


class LocalReader:
    """Decodes in processes of this machine and embeds in this process.  A context manager."""

    def __init__(self, encoder: Callable[[], Encoder], info: EncoderInfo, limits: Limits, workers: int | None) -> None:
        self._encoder = encoder
        self._pool = DecodePool(info.preprocess, limits, workers)

    def __enter__(self) -> Self:
        self._pool.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.__exit__(None, None, None)

    def read(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """See ``Reader``."""
        return self._pool.map(jobs, window=max(LOOK_AHEAD, 4 * self._pool.workers))

    def embed(self, pictures: Sequence[Decoded]) -> list[Vector | str]:
        """See ``Reader``."""
        return embed_each(self._encoder(), np.stack([picture.pixels for picture in pictures]))
