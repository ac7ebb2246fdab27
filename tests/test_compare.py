"""Rough products first, exact scores after: nothing that belongs to the k best may be lost on the way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vsearch import kernels as compare
from vsearch.kernels import Scanner, topk

torch = pytest.importorskip("torch")


def unit(rng: np.random.Generator, n: int, dim: int, spread: float) -> np.ndarray:
    """Unit vectors; with a small spread they lie in a narrow cone, where bfloat16 can hardly tell them apart."""
    rows = rng.standard_normal((n, dim)) * spread + rng.standard_normal(dim)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 300),
    k=st.integers(1, 12),
    block=st.integers(1, 120),
    spread=st.sampled_from([0.003, 0.05, 1.0]),
)
def test_pairs_found_roughly_hold_all_of_the_best(seed, n, k, block, spread):
    rng = np.random.default_rng(seed)
    rows, xq = unit(rng, n, 48, spread).astype(np.float16), unit(rng, 5, 48, 1.0)
    scores = xq @ rows.astype(np.float32).T
    least = None
    for at in range(0, n, block):
        found = compare.roughly_first(xq)(rows[at : at + block], least, k)
        here = scores[:, at : at + block]
        assert (np.diff(found.queries * block + found.rows) > 0).all(), "ascending, each pair once"
        np.testing.assert_allclose(found.scores, here[found.queries, found.rows], atol=2e-6)
        kept = set(zip(found.queries.tolist(), found.rows.tolist(), strict=True))
        for query, row in enumerate(here):
            kth = np.sort(row)[::-1][:k][-1]
            bar = max(kth, -np.inf if least is None else least[query])
            best = np.flatnonzero(row >= bar + 2e-6)
            assert {(query, int(c)) for c in best} <= kept
        seen = np.sort(scores[:, : at + block], axis=1)[:, ::-1]
        least = np.ascontiguousarray(seen[:, k - 1]) if seen.shape[1] >= k else None


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 300),
    k=st.integers(1, 12),
    block=st.integers(1, 120),
    dim=st.sampled_from([3, 16, 48, 50]),
    levels=st.sampled_from([1, 1000]),
)
def test_the_scanner_loses_nothing_that_ties(seed, n, k, block, dim, levels):
    rng = np.random.default_rng(seed)
    rows = (rng.integers(-levels, levels + 1, (n, dim)) / levels).astype(np.float16)
    rows[rng.integers(0, n, n // 2)] = rows[0]  # the same vector at many places
    xq = (rng.integers(-levels, levels + 1, (3, dim)) / levels).astype(np.float32)
    rows.flags.writeable = False  # as those of a mapped file
    blocks = [(np.arange(at, min(at + block, n)), rows[at : at + block]) for at in range(0, n, block)]
    least = None
    for ids, part in blocks:
        found = compare.scanned(xq)(part, least, k)
        here = xq @ part.astype(np.float32).T
        assert (np.diff(found.queries * block + found.rows) > 0).all(), "ascending, each pair once"
        np.testing.assert_allclose(found.scores, here[found.queries, found.rows], atol=1e-4)
        kept = set(zip(found.queries.tolist(), found.rows.tolist(), strict=True))
        for query, row in enumerate(here):
            bar = max(np.sort(row)[::-1][:k][-1], -np.inf if least is None else least[query])
            assert {(query, int(c)) for c in np.flatnonzero(row >= bar + (1e-4 if levels > 1 else 0))} <= kept
        seen = np.sort(xq @ rows[: ids[-1] + 1].astype(np.float32).T, axis=1)[:, ::-1]
        least = np.ascontiguousarray(seen[:, k - 1]) if seen.shape[1] >= k else None


def test_too_little_to_spare_would_be_noticed():
    """Forty rows tie for five places: without a look at what was left out, the lower ids could be lost."""
    rows = np.zeros((40, 8), np.float16)
    rows[:, 0] = 1
    assert Scanner(np.eye(1, 8, dtype=np.float32)).best(rows, 0, 5, -np.inf) is None
    found = compare.scanned(np.eye(1, 8, dtype=np.float32))(rows, None, 5)
    assert found.rows.tolist() == list(range(40))


@pytest.mark.parametrize("spread", [0.003, 1.0])
def test_search_by_rough_products_gives_the_same_answers(monkeypatch, spread):
    rng = np.random.default_rng(3)
    rows, xq = unit(rng, 3000, 64, spread).astype(np.float16), unit(rng, compare.ROUGH_FROM, 64, 1.0)
    blocks = [(np.arange(at, min(at + 700, 3000)), rows[at : at + 700]) for at in range(0, 3000, 700)]
    told = {}
    for fast in (False, True):
        monkeypatch.setattr(compare, "has_fast_bfloat16", lambda fast=fast: fast)
        told[fast] = topk(xq, blocks, 10, None, device=None)
    np.testing.assert_allclose(told[True][0], told[False][0], atol=2e-6)
    truth = np.argsort(-(xq.astype(np.float64) @ rows.astype(np.float64).T), axis=1)[:, :10]
    if spread == 1.0:
        assert told[True][1].tolist() == told[False][1].tolist() == truth.tolist()


def test_a_bound_that_were_too_narrow_would_be_noticed(monkeypatch):
    """The harness is not blind: with a hundredth of the rounding error allowed for, answers go missing."""
    monkeypatch.setattr(compare, "ERROR", compare.ERROR / 100)
    rng = np.random.default_rng(0)
    lost = 0
    for _ in range(20):
        rows, xq = unit(rng, 400, 48, 0.003).astype(np.float16), unit(rng, 5, 48, 1.0)
        scores = xq @ rows.astype(np.float32).T
        found = compare.roughly_first(xq)(rows, None, 10)
        kept = set(zip(found.queries.tolist(), found.rows.tolist(), strict=True))
        lost += sum((q, int(c)) not in kept for q in range(5) for c in np.argsort(-scores[q])[:10])
    assert lost > 0
