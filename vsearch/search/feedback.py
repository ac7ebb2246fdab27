"""Relevance feedback: a query moved towards pictures that were marked as right, and away from those marked as wrong.

With few marks, Rocchio's formula (Rocchio 1971; the weights are those of Manning, Raghavan and Schütze 2008, section
9.1.1):

    q'  =  q + 0.75 * mean of the right ones - 0.15 * mean of the wrong ones, scaled to unit length

From three of each on, a logistic regression over the marked vectors x with labels y = 1, -1, held near q':

    w, b  =  argmin  sum over x of log(1 + exp(-y * (w.x + b)))  +  REGULARISATION / 2 * |w - SCALE * q'|^2

b is the same for all pictures, so pictures are ranked by w.x, and w scaled to unit length is a query like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vsearch.errors import QueryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.search.query import QueryVector
    from vsearch.store import Snapshot

    Matrix = NDArray[np.float32]
    Exact = NDArray[np.float64]

RIGHT, WRONG = 0.75, 0.15
ENOUGH = 3
SCALE = 10.0  # a difference of 0.1 between cosines counts as one unit of log odds
REGULARISATION = 0.3
_STEPS = 50
_HALVINGS = 30


def refined(snapshot: Snapshot, query: QueryVector, more: Sequence[int], less: Sequence[int]) -> QueryVector:
    """The query after feedback: pictures of ``more`` may be found, those of ``less`` are excluded.

    query: its ``ids`` are those to leave out.  more, less: ids.
    Raises QueryError for an unknown id, and for one that is in both.
    """
    if both := sorted({*more} & {*less}):
        raise QueryError(f"the picture {both[0]} is marked as both more and less; keep one of the two")
    unknown = next((id for id in (*more, *less) if snapshot.record(id) is None), None)
    if unknown is not None:
        raise QueryError(f"no picture has the id {unknown}; ids are shown by: vsearch query --json")
    rows = [snapshot.vectors(np.array(sorted({*ids}), np.int64)) for ids in (more, less)]
    vector = direction(query.vector[0], *rows)[None]
    ids = (query.ids - {*more}) | {*less}
    return replace(query, vector=vector, ids=ids, has_pictures=True)


def direction(query: Matrix, right: Matrix, wrong: Matrix) -> Matrix:
    """The new query, (dim,) float32 of unit length.

    query: (dim,) of unit length.  right, wrong: (n, dim) and (m, dim) marked vectors; either may be empty.
    Raises QueryError when they cancel each other out.
    """
    moved = rocchio(query, right, wrong)
    if min(len(right), len(wrong)) < ENOUGH:
        return moved
    rows = np.concatenate([right, wrong]).astype(np.float64)
    y = np.repeat([1.0, -1.0], [len(right), len(wrong)])
    return _unit(_head(SCALE * moved.astype(np.float64), rows, y))


def rocchio(query: Matrix, right: Matrix, wrong: Matrix) -> Matrix:
    """The query moved by Rocchio's formula alone: shapes and errors as in ``direction``."""
    q, good, bad = (np.asarray(values, np.float64) for values in (query, right, wrong))
    return _unit(q + RIGHT * _mean(good) - WRONG * _mean(bad))


def _mean(rows: Exact) -> Exact:
    mean: Exact = rows.mean(axis=0) if len(rows) else np.zeros(rows.shape[1])
    return mean


def _unit(vector: Exact) -> Matrix:
    length = float(np.linalg.norm(vector))
    if length < 1e-6:
        raise QueryError("the marked pictures and the query cancel each other out; mark others")
    return (vector / length).astype(np.float32)


def _head(prior: Exact, rows: Exact, y: Exact) -> Exact:
    """The weights w of the logistic regression, by Newton's method with halved steps (the problem is convex)."""
    x = np.column_stack([rows, np.ones(len(rows))])
    start = np.append(prior, 0.0)
    held = np.append(np.full(len(prior), REGULARISATION), 0.0)  # b is free

    def cost(w: Exact) -> float:
        return float(np.logaddexp(0, -y * (x @ w)).sum() + 0.5 * held @ (w - start) ** 2)

    w = start
    for _ in range(_STEPS):
        wrongness = 1 / (1 + np.exp(y * (x @ w)))
        slope = held * (w - start) - x.T @ (y * wrongness)
        curve = (x.T * (wrongness * (1 - wrongness))) @ x + np.diag(held + 1e-9)
        step = np.linalg.solve(curve, slope)
        if float(slope @ step) < 1e-10:
            break
        size = next((s for s in 0.5 ** np.arange(_HALVINGS) if cost(w - s * step) < cost(w)), 0.0)
        w = w - size * step
    return w[:-1]
