"""What meaningless queries find in a collection, and the confidence that follows from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from vsearch.errors import IndexCorrupt
from vsearch.types import Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

Rating = Callable[[float], float]

SLOPE = math.log(9)  # puts 0.1 at the mean of the null distribution and 0.9 two standard deviations above
_LEAST_SPREAD = 1e-4


class Null(msgspec.Struct, frozen=True):
    """Mean and standard deviation of the best lift of meaningless queries of one kind."""

    mean: float
    sd: float

    def confidence(self, lift: float) -> float:
        """In [0, 1], growing with the lift: 0.1 at the mean, 0.5 one standard deviation above, 0.9 at two."""
        return 0.5 + 0.5 * math.tanh(0.5 * SLOPE * ((lift - self.mean) / self.sd - 1))


class Background(msgspec.Struct, frozen=True):
    """What is kept of a collection to tell confidences from.

    count: pictures when it was made.  mean: their mean vector, dim float32 as bytes.  A kind of query without a null
    distribution has no confidences.
    """

    count: int
    mean: bytes
    text: Null | None
    image: Null | None
    mixed: Null | None

    def null(self, kind: Kind) -> Null | None:
        """The null distribution of a kind of query."""
        return {"text": self.text, "image": self.image, "mixed": self.mixed}[kind]

    def rating(self, query: Matrix, kind: Kind) -> Rating | None:
        """The confidence of a score of one query.  query: (dim,) of unit length.  None where it cannot be told."""
        null = self.null(kind)
        if null is None:
            return None
        start = float(lifts(np.zeros(1, np.float32), query[None], np.frombuffer(self.mean, "<f4"), kind)[0])
        return lambda score: null.confidence(score + start)

    def confidence(self, query: Matrix, kind: Kind, score: float) -> float | None:
        """The confidence of one score, as ``rating`` tells it."""
        rate = self.rating(query, kind)
        return None if rate is None else rate(score)

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
    return scaled(mean + shuffled @ axes)


def scaled(rows: Matrix) -> Matrix:
    """Rows (n, dim) as float32 of unit length; one of length zero stays so, and finds nothing."""
    made: Matrix = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    return made


def lifts(scores: Matrix, queries: Matrix, mean: Matrix, kind: Kind) -> Matrix:
    """Scores (n,) of queries (n, dim); without what the query gives to every picture, unless it is a picture."""
    return scores if kind == "image" else scores - queries @ mean


def null_of(best: Matrix) -> Null | None:
    """The null distribution.  best: (n,) highest lift of each meaningless query.  None for one without spread."""
    best = best[np.isfinite(best)]
    if len(best) < 2 or float(best.std()) < _LEAST_SPREAD:
        return None
    return Null(float(best.mean()), float(best.std()))
