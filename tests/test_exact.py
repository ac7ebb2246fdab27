"""Exact search against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vsearch.kernels import merge, topk


def plain(xq, ids, rows, k, dead):
    """One query at a time, one row at a time."""
    out = []
    for q in xq:
        scored = [(-float(np.dot(q, r.astype(np.float32))), int(i)) for i, r in zip(ids, rows, strict=True)]
        out.append(sorted(s for s in scored if s[1] not in dead)[:k])
    return out


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(0, 60),
    k=st.integers(1, 12),
    block=st.integers(1, 20),
    levels=st.sampled_from([2, 50]),
)
def test_equals_a_plain_loop_with_ties_and_dead_rows_at_any_block_size(seed, n, k, block, levels):
    rng = np.random.default_rng(seed)
    rows = (rng.integers(-levels, levels + 1, (n, 8)) / levels).astype(np.float16)
    xq = (rng.integers(-levels, levels + 1, (3, 8)) / levels).astype(np.float32)
    ids = np.sort(rng.choice(1000, n, replace=False)).astype(np.int64)
    dead = set(rng.choice(ids, n // 4, replace=False).tolist()) if n else set()
    blocks = [(ids[a : a + block], rows[a : a + block]) for a in range(0, n, block)]
    scores, found = topk(xq, blocks, k, np.packbits([i not in dead for i in range(1000)], bitorder="little"))
    assert scores.shape == found.shape == (3, k)
    for row, truth in enumerate(plain(xq, ids, rows, k, dead)):
        got = found[row][found[row] >= 0]
        assert len(got) == len(truth)
        np.testing.assert_allclose(scores[row][: len(truth)], [-s for s, _ in truth], atol=1e-5)
        # Where scores tie, which of the equals is returned is fixed: the lower id.
        exact = np.array([-s for s, _ in truth])
        distinct = np.abs(np.subtract.outer(exact, exact) + np.eye(len(exact))).min(initial=1.0) > 1e-4
        if distinct or levels == 2:
            assert got.tolist() == [i for _, i in truth]


def test_on_a_torch_device_gives_the_same_answers():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((500, 16)).astype(np.float16)
    xq = rng.standard_normal((4, 16)).astype(np.float32)
    ids = np.arange(500, dtype=np.int64)
    live = np.ones(500, bool)
    cpu = topk(xq, [(ids, rows)], 10, np.packbits(live, bitorder="little"))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    other = topk(xq, [(ids, rows)], 10, np.packbits(live, bitorder="little"), device=device)
    assert cpu[1].tolist() == other[1].tolist()
    np.testing.assert_allclose(cpu[0], other[0], atol=1e-3)


def test_merge_keeps_the_best_of_both_and_pads_with_nothing():
    a = np.array([[0.9, 0.1]], np.float32), np.array([[5, 6]])
    b = np.array([[0.9, 0.5]], np.float32), np.array([[2, 7]])
    scores, ids = merge(a, b, 3)
    assert ids.tolist() == [[2, 5, 7]]
    assert scores.tolist() == [[np.float32(0.9), np.float32(0.9), 0.5]]
