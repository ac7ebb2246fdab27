"""How much text counts in the query-aware transform: tried on a part of the collection, chosen by what it saves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vsearch.ann import AnnIndex, Cells, second_moment, trained
from vsearch.build.queries import Asked, K, ranks
from vsearch.recipe import SearchSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]
    Moment = NDArray[np.float64]

WEIGHTS = (0.0, 0.5, 1.0)
PILOT = 10_000
QUERIES = 300
DEEPEST = 100  # candidates for each answer beyond which a transform is no good anyway
# What a transform must save of the candidates, as a ratio, to be worth having.
WORTH = 0.95
TEXTS = 200  # fewer text queries say too little about where they lie


@dataclass(frozen=True, slots=True)
class Trial:
    """A weight of the text statistics (None: no transform) and the candidates needed with it, by modality."""

    weight: float | None
    depth: dict[str, float]

    @property
    def cost(self) -> float:
        """The geometric mean of the candidates needed."""
        return float(np.exp(np.mean(np.log(list(self.depth.values())))))


def moment(sample: Matrix, texts: Matrix | None, weight: float) -> Moment:
    """The second moment of queries of which ``weight`` are texts, the rest pictures like those of the sample."""
    pictures = second_moment(sample[:PILOT])
    if texts is None or weight == 0.0:
        return pictures
    told: Moment = (1 - weight) * pictures + weight * second_moment(texts)
    return told


def try_weights(
    factory: str, sample: Matrix, cells: Cells, seed: int, texts: Matrix | None, count: int, recall: float
) -> list[Trial]:
    """Build small indexes with and without the transform; the best comes first.

    sample: (n, dim) random rows.  texts: (n, dim) embedded texts, or None.  count: vectors of the whole collection.
    The pilot holds a part of the collection, so its neighbours lie farther apart; to be as hard as the whole, it is
    asked for that part of the ten best.  Cells do not depend on the transform, so all are visited.
    """
    rows = sample[:PILOT]
    k = max(1, round(K * len(rows) / count))
    questions = {"image": _pictures(rows, k)}
    weights: tuple[float | None, ...] = (None, 0.0)
    if texts is not None and len(texts) >= TEXTS:
        questions["text"] = _asked(rows, texts[-QUERIES:], np.full(min(QUERIES, len(texts)), -1), k)
        weights = (None, *WEIGHTS)
    trials = []
    for weight in weights:
        queries = None if weight is None else moment(sample, None if texts is None else texts[:-QUERIES], weight)
        grown = trained(factory, rows, cells, seed, queries)
        grown.add(np.arange(len(rows)), rows)
        index = grown.finished(len(rows))
        trials.append(Trial(weight, {m: _depth(index, q, recall, k) for m, q in questions.items()}))
    without = trials[0].cost
    return sorted(trials, key=lambda t: t.cost * (1.0 if t.weight is None else 1 / WORTH) / without)


def _pictures(rows: Matrix, k: int) -> Asked:
    own = np.arange(min(QUERIES, len(rows)), dtype=np.int64)
    return _asked(rows, rows[: len(own)], own, k)


def _asked(rows: Matrix, xq: Matrix, own: NDArray[np.int64], k: int) -> Asked:
    scores = xq @ rows.T
    mine = np.flatnonzero(own >= 0)
    scores[mine, own[mine]] = -np.inf
    truth = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    return Asked(xq, own.astype(np.int64), truth.astype(np.int64))


def _depth(index: AnnIndex, asked: Asked, recall: float, k: int) -> float:
    """How many candidates hold the share ``recall`` of the answers, for each answer wanted."""
    live = np.full((len(index) + 7) // 8, 255, np.uint8)
    deepest = min(len(index), DEEPEST * k)
    found = index.search(asked.xq, deepest, SearchSettings(1 << 20, 1), live)
    return float(np.quantile(ranks(found, asked), recall) + 1) / k
