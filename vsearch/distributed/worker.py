"""What runs on the machines of a cluster: files in, vectors out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vsearch.decode import Decoded, DecodePool, Job, Limits
from vsearch.embed import load_encoder
from vsearch.ingest.embedding import embed_each
from vsearch.ingest.reader import Outcome
from vsearch.types import EncoderInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.embed import Encoder

NO_PIXELS = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Embedded(Decoded):
    """A picture that was embedded where it was decoded.  vector: (dim,) float32, or why there is none.

    Its pixels have stayed there.
    """

    vector: NDArray[np.float32] | str = ""


class Worker:
    """An encoder and the processes that decode for it.

    Two calls may run at a time: one decodes while the other embeds.
    """

    def __init__(self, info: EncoderInfo, limits: Limits, processes: int, device: str | None = None) -> None:
        self._info, self._device = info, device
        self._encoder: Encoder | None = None
        self._pool = DecodePool(info.preprocess, limits, processes)
        self._embedding = threading.Lock()

    def ready(self) -> None:
        """Load the encoder.  Raises EncoderUnavailable, EncoderMismatch."""
        self._encoder = load_encoder(self._info.name, device=self._device, expect=self._info)

    def read(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Decode files and embed the pictures that are new."""
        return self.embed(self.decode(jobs))

    def decode(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Their pixels, or why there are none."""
        return list(self._pool.map(jobs, window=len(jobs)))

    def embed(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """The same with vectors instead of pixels."""
        decoded = [outcome for outcome in outcomes if isinstance(outcome, Decoded)]
        if not decoded or self._encoder is None:
            return list(outcomes)
        with self._embedding:
            vectors = iter(embed_each(self._encoder, np.stack([picture.pixels for picture in decoded])))
        return [_embedded(o, next(vectors)) if isinstance(o, Decoded) else o for o in outcomes]


def _embedded(d: Decoded, vector: NDArray[np.float32] | str) -> Embedded:
    return Embedded(
        d.path, d.content, NO_PIXELS, d.width, d.height, d.size, d.mtime_ns, d.ctime_ns, d.format, d.details, vector
    )
