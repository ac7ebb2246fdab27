"""Confidence intervals by the bootstrap (Efron and Tibshirani 1993): resampling what was measured, with replacement.

Whole groups are drawn, not single values: five captions of one picture are found or missed together, and an interval
that took them for independent would be too narrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDS = 2000
LEVEL = 0.95
_BLOCK = 1 << 22  # weights held at a time


def resampled_means(
    values: NDArray[np.floating] | NDArray[np.bool_], group: NDArray[np.int64], rounds: int = ROUNDS, seed: int = 0
) -> NDArray[np.float64]:
    """Means of the columns over groups drawn with replacement.

    values: (n, m) measures, one row for each query; columns are resampled together, so their differences are paired.
    group: (n,) non-negative numbers of the groups.  Returns (rounds, m).
    """
    _, at = np.unique(group, return_inverse=True)
    groups = int(at.max()) + 1
    sums = np.zeros((groups, values.shape[1]))
    np.add.at(sums, at, values.astype(np.float64))
    counts = np.bincount(at, minlength=groups).astype(np.float64)
    rng = np.random.default_rng(seed)
    means = np.empty((rounds, values.shape[1]))
    step = max(1, _BLOCK // groups)
    for first in range(0, rounds, step):
        part = slice(first, min(first + step, rounds))
        weights = rng.multinomial(groups, np.full(groups, 1 / groups), part.stop - first).astype(np.float64)
        means[part] = (weights @ sums) / (weights @ counts)[:, None]
    return means


def interval(means: NDArray[np.float64], level: float = LEVEL) -> NDArray[np.float64]:
    """The middle ``level`` of resampled means, by percentiles: (rounds, m) to (m, 2)."""
    tail = (1 - level) / 2
    bounds: NDArray[np.float64] = np.quantile(means, (tail, 1 - tail), axis=0).T
    return bounds
