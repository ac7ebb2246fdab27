"""Whether the pictures that a query finds are made up like the collection, by groups that are told in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vsearch.errors import QueryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.confidence import Background
    from vsearch.index import Index
    from vsearch.labels import Classifier
    from vsearch.store import Snapshot
    from vsearch.types import Query, QueryValue

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

CERTAIN = 0.8
SHOWN = 0.1  # confidence of a meaningless query: what a group finds no better than that is not in the picture
SAMPLE = 10_000
UNDECIDED = -1
_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution: intervals of 95 %
_SHUFFLES = 200
_BATCH = 4096

LIMITS = (
    "The encoder that ranked the pictures also assigned the groups: where it errs for one, both figures err.",
    "A group is what a picture looks like to an encoder, not who anybody is; look at some before you conclude.",
    "The yardstick is this collection, whose own make-up may be skewed.",
    "Intervals cover the chance of few pictures only, not wrong assignments.",
)


@dataclass(frozen=True, slots=True)
class Share:
    """count of total, and the 95 % interval of the share (Wilson 1927), in [0, 1]."""

    count: int
    total: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """The count by the total, 0.0 of nothing."""
        return self.count / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Group:
    """One group: its share of the decided pictures among the top k and in the collection.

    skew: ln(share in the top k / share in the collection) (Skew@k of Geyik et al. 2019, arXiv 1905.01989): 0 is equal,
    0.69 twice as many; None where one of them is 0.  differs: whether the two intervals do not touch.
    """

    name: str
    top: Share
    collection: Share
    skew: float | None
    differs: bool


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What ``audit`` found.

    undecided_top, undecided_collection: pictures that fit no group clearly, of all looked at.
    ndkl: normalised discounted cumulative KL divergence of the ranking from the collection (Geyik et al. 2019), 0 for
    equal at every depth; ndkl_by_chance: its mean over random rankings of this length, since short ones are never
    equal.  None where a group of the top k is not in the collection's sample, or nothing was decided.
    sampled: whether the collection stands for itself by a random sample.  limits: what the figures cannot tell.
    """

    k: int
    groups: tuple[Group, ...]
    undecided_top: Share
    undecided_collection: Share
    ndkl: float | None
    ndkl_by_chance: float | None
    sampled: bool
    limits: tuple[str, ...] = LIMITS


def audit(
    index: Index,
    query: str | QueryValue | Query,
    by: Sequence[str],
    k: int = 100,
    *,
    certain: float = CERTAIN,
    sample: int = SAMPLE,
    seed: int = 0,
) -> AuditReport:
    """Compare the make-up of the k best pictures for a query with that of the collection.

    by: two or more groups in words, put into the bundled prompt templates.  A picture is of the likeliest group if
    that is at least ``certain`` of it (softmax over the groups, in [0, 1]) and finds it better than a meaningless query
    would; else it is undecided.  sample: most pictures of the collection to look at, drawn with ``seed``.
    Raises QueryError, EncoderError, and what ``Index.search`` raises.
    """
    if not 0 <= certain <= 1 or sample < 1:
        raise QueryError(f"certain {certain} and sample {sample}; they are in [0, 1], and 1 or more")
    classifier = index.classifier(by)
    found = np.array([hit.id for hit in index.search(query, k)], np.int64)
    with index.store.snapshot() as snapshot:
        live = snapshot.live_ids()
        some = np.random.default_rng(seed).choice(live, min(sample, len(live)), replace=False)
        assigner = _Assigner(classifier, index.background(snapshot), certain)
        top, collection = assigner.groups(snapshot, found), assigner.groups(snapshot, some)
    return compare(classifier.labels, top, collection, sampled=len(some) < len(live), seed=seed)


@dataclass(frozen=True, slots=True)
class _Assigner:
    classifier: Classifier
    background: Background | None
    certain: float

    def groups(self, snapshot: Snapshot, ids: Ids) -> Ids:
        """The group number of each picture, in the order of the ids, -1 where none fits clearly."""
        order = np.argsort(ids)
        told = np.empty(len(ids), np.int64)
        for at in range(0, len(ids), _BATCH):
            some = order[at : at + _BATCH]
            told[some] = self._of(snapshot.vectors(ids[some]))
        return told

    def _of(self, rows: Matrix) -> Ids:
        best, shares = (column[:, 0] for column in self.classifier.best(rows, 1))
        clear = shares >= self.certain
        if self.background is not None:
            directions = self.classifier.directions[best]
            scores = np.einsum("nd,nd->n", rows, directions)
            told = [self.background.confidence(d, "text", s) for d, s in zip(directions, scores.tolist(), strict=True)]
            clear &= np.array([confidence is None or confidence >= SHOWN for confidence in told], bool)
        return np.where(clear, best, UNDECIDED)


def compare(names: Sequence[str], top: Ids, collection: Ids, *, sampled: bool, seed: int = 0) -> AuditReport:
    """The report.  top, collection: group numbers of pictures, -1 undecided; top in the order of the ranking."""
    decided, known = top[top >= 0], collection[collection >= 0]
    groups = []
    for number, name in enumerate(names):
        here = wilson(int((decided == number).sum()), len(decided))
        there = wilson(int((known == number).sum()), len(known))
        skew = math.log(here.share / there.share) if here.count and there.count else None
        groups.append(Group(name, here, there, skew, here.low > there.high or here.high < there.low))
    ndkl, by_chance = _divergences(decided, known, len(names), seed)
    return AuditReport(
        len(top),
        tuple(groups),
        wilson(int((top < 0).sum()), len(top)),
        wilson(int((collection < 0).sum()), len(collection)),
        ndkl,
        by_chance,
        sampled,
    )


def wilson(count: int, total: int) -> Share:
    """The share and its 95 % score interval (Wilson 1927); [0, 1] of nothing."""
    if not total:
        return Share(0, 0, 0.0, 1.0)
    share, squared = count / total, _Z**2 / total
    centre = (share + squared / 2) / (1 + squared)
    half = _Z / (1 + squared) * math.sqrt(share * (1 - share) / total + squared / (4 * total))
    return Share(count, total, max(0.0, centre - half), min(1.0, centre + half))


def ndkl(ranking: Ids, shares: NDArray[np.float64]) -> float:
    """Sum over depths i of KL(make-up of the first i || shares) / log2(i + 1), divided by that of the weights.

    ranking: (n,) group numbers, n at least 1.  shares: (groups,), above 0 for every group of the ranking.
    Geyik et al. 2019, arXiv 1905.01989, section 3.
    """
    depths = np.arange(1, len(ranking) + 1)
    counts = np.cumsum(ranking[:, None] == np.arange(len(shares)), axis=0)
    at = counts / depths[:, None]
    ratios = np.divide(at, shares, out=np.ones_like(at), where=at > 0)
    weights = 1 / np.log2(depths + 1)
    return float(weights @ (at * np.log(ratios)).sum(axis=1) / weights.sum())


def _divergences(decided: Ids, known: Ids, groups: int, seed: int) -> tuple[float | None, float | None]:
    counts = np.bincount(known, minlength=groups)
    if not len(decided) or not counts[np.unique(decided)].all():
        return None, None
    shares, rng = counts / counts.sum(), np.random.default_rng(seed)
    shuffled = [ndkl(rng.choice(groups, len(decided), p=shares), shares) for _ in range(_SHUFFLES)]
    return ndkl(decided, shares), float(np.mean(shuffled))
