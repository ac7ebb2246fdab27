"""Retrieval figures of one encoder, or of two side by side, with confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch.errors import DimensionMismatch
from vsearch.evaluate.bootstrap import ROUNDS, interval, resampled_means
from vsearch.evaluate.retrieval import KS, Ranks, figures

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIGITS = 4


def retrieval_report(found: Ranks, ks: Sequence[int] = KS, *, rounds: int = ROUNDS, seed: int = 0) -> dict[str, Any]:
    """Every metric of ``figures``, and under ``interval_95`` the bounds of each recall; pictures are resampled.

    Besides ``pictures`` and ``captions``, how many were queries.
    """
    bounds: dict[str, list[float]] = {}
    for name, hits, group in _hits(found, ks):
        bounds |= dict(zip(name, interval(resampled_means(hits, group, rounds, seed)).tolist(), strict=True))
    return {
        "pictures": len(found.of_captioned),
        "captions": len(found.of_texts),
        **{name: round(value, DIGITS) for name, value in figures(found, ks).items()},
        "interval_95": {name: [round(bound, DIGITS) for bound in pair] for name, pair in bounds.items()},
    }


def comparison(a: Ranks, b: Ranks, ks: Sequence[int] = KS, *, rounds: int = ROUNDS, seed: int = 0) -> dict[str, Any]:
    """How two encoders differ on the same pairs: for each recall ``a``, ``b``, ``difference`` (b - a) and its bounds.

    The same pictures are drawn for both in every round, so what makes a picture hard for both cancels out.
    ``certain`` where the interval of the difference does not hold zero.  Raises DimensionMismatch for other pairs.
    """
    if not np.array_equal(a.owner, b.owner):
        raise DimensionMismatch("the two encoders were not measured on the same pairs")
    told: dict[str, Any] = {}
    for (names, of_a, group), (_, of_b, _) in zip(_hits(a, ks), _hits(b, ks), strict=True):
        both = np.concatenate([of_a, of_b], axis=1)
        means = resampled_means(both, group, rounds, seed)
        differences = interval(means[:, len(names) :] - means[:, : len(names)])
        values = both.mean(axis=0)
        for at, name in enumerate(names):
            first, second, bounds = float(values[at]), float(values[len(names) + at]), differences[at].tolist()
            told[name] = {
                "a": round(first, DIGITS),
                "b": round(second, DIGITS),
                "difference": round(second - first, DIGITS),
                "interval_95": [round(bound, DIGITS) for bound in bounds],
                "certain": not bounds[0] <= 0 <= bounds[1],
            }
    return told


def _hits(found: Ranks, ks: Sequence[int]) -> list[tuple[list[str], NDArray[np.bool_], NDArray[np.int64]]]:
    """For each direction: names of the recalls, hits (queries, ks), and the picture that each query belongs to."""
    at = np.array(ks)
    asked = np.flatnonzero(found.of_images > 0)
    return [
        ([f"image_retrieval_recall@{k}" for k in ks], found.of_texts[:, None] <= at, found.owner),
        ([f"text_retrieval_recall@{k}" for k in ks], found.of_images[asked, None] <= at, asked),
    ]
