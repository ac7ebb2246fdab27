"""What meaningless queries find in a collection, and the confidence that follows from it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from vsearch.errors import IndexCorrupt
from vsearch.recipe import Modality

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

SLOPE = math.log(9)  # puts 0.1 at the mean of the null distribution and 0.9 two standard deviations above
_LEAST_SPREAD = 1e-4


class Null(msgspec.Struct, frozen=True):
    """Mean and standard deviation of the best lift of meaningless queries of one modality."""

    mean: float
    sd: float

    def confidence(self, lift: float) -> float:
        """In [0, 1], growing with the lift: 0.1 at the mean, 0.5 one standard deviation above, 0.9 at two."""
        return 0.5 + 0.5 * math.tanh(0.5 * SLOPE * ((lift - self.mean) / self.sd - 1))


class Background(msgspec.Struct, frozen=True):
    """What is kept of a collection to tell confidences from.

    count: pictures when it was made.  mean: their mean vector, dim float32 as bytes.  A modality without a null
    distribution has no confidences.
    """

    count: int
    mean: bytes
    text: Null | None
    image: Null | None

    def null(self, modality: Modality) -> Null | None:
        """The null distribution of a modality."""
        return self.text if modality == "text" else self.image

    def confidence(self, query: Matrix, modality: Modality, score: float) -> float | None:
        """The confidence of a hit.  query: (dim,) of unit length.  None where it cannot be told."""
        null = self.null(modality)
        if null is None:
            return None
        return null.confidence(
            float(lifts(np.array([score]), query[None], np.frombuffer(self.mean, "<f4"), modality)[0])
        )

    def pack(self) -> bytes:
        """As bytes of a file."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def unpack(cls, raw: bytes, dim: int) -> Background:
        """The one that ``pack`` made.  Raises IndexCorrupt."""
        try:
            made = msgspec.msgpack.decode(raw, type=cls)
        except msgspec.DecodeError as error:
            raise IndexCorrupt(f"the background of the confidences cannot be read ({error})") from error
        if len(made.mean) != 4 * dim:
            raise IndexCorrupt("the background of the confidences is of another dimension")
        return made


def surrogates(rows: Matrix, count: int, rng: np.random.Generator) -> Matrix:
    """Queries that lie where ``rows`` lie and mean nothing: (count, dim) float32 of unit length.

    rows: (n, dim), n at least 2.  Their coordinates along their principal axes are shuffled, each axis for itself.
    """
    mean = rows.mean(axis=0)
    left, sizes, axes = np.linalg.svd(rows - mean, full_matrices=False)
    coordinates = left * sizes
    repeats = -(-count // len(rows))
    shuffled = np.concatenate([rng.permuted(coordinates, axis=0) for _ in range(repeats)])[:count]
    made: Matrix = (mean + shuffled @ axes).astype(np.float32)
    made /= np.maximum(np.linalg.norm(made, axis=1, keepdims=True), np.float32(1e-12))
    return made


def lifts(scores: Matrix, queries: Matrix, mean: Matrix, modality: Modality) -> Matrix:
    """Scores (n,) of queries (n, dim), those of texts without what the query gives to every picture."""
    return scores - queries @ mean if modality == "text" else scores


def null_of(best: Matrix) -> Null | None:
    """The null distribution.  best: (n,) highest lift of each meaningless query.  None for one without spread."""
    best = best[np.isfinite(best)]
    if len(best) < 2 or float(best.std()) < _LEAST_SPREAD:
        return None
    return Null(float(best.mean()), float(best.std()))
