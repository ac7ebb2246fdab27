"""Queries to tune and to measure with, and what exact search answers to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vsearch.kernels import prepare, topk
from vsearch.store import Snapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

K = 10
# So many tell recall to about half a point, for a tenth of the time of a build over a million vectors.
COUNT = 500
FEWEST = 50
# Queries for each pass over the rows: enough for the matrix product, and their scores stay in the cache.
_PASS = 250


@dataclass(frozen=True, slots=True)
class Asked:
    """Queries of one modality and their exact answers.

    xq: (nq, dim) float32.  own: (nq,) ids of the stored pictures that the queries are, -1 for queries from elsewhere;
    a picture is no answer to itself.  truth: (nq, k) ids of the best others.
    """

    xq: Matrix
    own: Ids
    truth: Ids

    def __len__(self) -> int:
        return len(self.xq)

    def part(self, which: slice) -> Asked:
        """Some of the queries."""
        return Asked(self.xq[which], self.own[which], self.truth[which])


def pictures(snapshot: Snapshot, seed: int) -> Asked | None:
    """Stored pictures as queries, a seeded sample; None when there are too few to tell anything.

    They stand for new pictures of the same kind: each is left out of its own answers, so nothing is found for free.
    """
    ids = snapshot.live_ids()
    if len(ids) < FEWEST:
        return None
    own = np.random.default_rng(seed + 2).choice(ids, min(COUNT, len(ids)), replace=False)
    order = np.argsort(own)
    xq = np.empty((len(own), snapshot.space.dim), np.float32)
    xq[order] = snapshot.vectors(own[order])
    return asked(snapshot, xq / np.linalg.norm(xq, axis=1, keepdims=True), own)


def texts(snapshot: Snapshot, vectors: Matrix) -> Asked | None:
    """Embedded texts (n, dim) as queries; None when there are too few to tell anything."""
    if len(vectors) < FEWEST or len(snapshot.live_ids()) < FEWEST:
        return None
    return asked(snapshot, vectors[:COUNT], np.full(min(COUNT, len(vectors)), -1, np.int64))


def asked(snapshot: Snapshot, xq: Matrix, own: Ids) -> Asked:
    """Queries with their answers by exact search over all live pictures."""
    prepare(len(xq) * snapshot.head.images * snapshot.space.dim)
    truth = np.empty((len(xq), K), np.int64)
    for at in range(0, len(xq), _PASS):
        found = topk(xq[at : at + _PASS], snapshot.blocks(), K + 1, snapshot.live)[1]
        truth[at : at + _PASS] = _others(found, own[at : at + _PASS])
    return Asked(xq, own, truth)


def _others(found: Ids, own: Ids) -> Ids:
    """The first K of K + 1 ids of each row that are not the query itself."""
    themselves = found == own[:, None]
    order = np.argsort(themselves, axis=1, kind="stable")
    return np.take_along_axis(found, order, 1)[:, :K]


def ranks(candidates: Ids, asked: Asked) -> Ids:
    """Where the exact answers stand among candidates (nq, n): (nq, k) ranks from 0, n for those not among them.

    The query's own picture is passed over.
    """
    n = candidates.shape[1]
    out = np.full(asked.truth.shape, n, np.int64)
    for row, (mine, wanted, own) in enumerate(zip(candidates, asked.truth, asked.own, strict=True)):
        others = mine[mine != own] if own >= 0 else mine
        order = np.argsort(others)
        at = np.minimum(np.searchsorted(others, wanted, sorter=order), len(others) - 1)
        places = order[at]
        out[row] = np.where((others[places] == wanted) & (wanted >= 0), places, n)
    return out
