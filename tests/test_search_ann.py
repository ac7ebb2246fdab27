"""Search through the front door with an index: any k, any thread, any age of the index."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import vsearch
from tests.gapped_space import COUNT, DIM, space
from tests.test_build import INFO, fill, record
from vsearch import recipe
from vsearch.build import Goal, build
from vsearch.errors import DimensionMismatch, QueryError
from vsearch.store import Addition, Batch, Store


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    store = Store.create(tmp_path_factory.mktemp("ann") / "a.vsearch", INFO)
    fill(store, range(COUNT - 500))
    build(store, recipe.load("opq-ivf-pq"), Goal(), space().texts)
    fill(store, range(COUNT - 500, COUNT))
    store.commit(Batch(dropped=list(range(100))))
    store.close()
    return store.layout.root


@pytest.fixture
def index(place):
    with vsearch.open(place) as index:
        yield index


@pytest.mark.parametrize("k", [1, 10, 300, COUNT, COUNT + 50])
def test_there_are_min_k_n_different_live_hits_in_order_with_cosines(index, k):
    xq = space().queries["text"][:20]
    scores, ids = index.search_vectors(xq, k, modality="text")
    n = min(k, COUNT - 100)
    assert scores.shape == ids.shape == (20, k)
    assert (ids[:, :n] >= 100).all() and (ids[:, n:] == -1).all()
    assert all(len(set(row)) == n for row in ids[:, :n].tolist())
    assert (np.diff(scores[:, :n], axis=1) <= 0).all()
    exact = np.einsum("qkd,qd->qk", space().images[ids[:, :n]], xq)
    np.testing.assert_allclose(scores[:, :n], exact, atol=1e-5)


@pytest.mark.parametrize(
    ("xq", "k", "error"),
    [
        (np.full((1, DIM), np.nan), 10, QueryError),
        (np.zeros((1, DIM)), 10, QueryError),
        (np.full((1, DIM), np.inf), 10, QueryError),
        (np.ones((1, DIM + 1)), 10, DimensionMismatch),
        (np.ones((1, DIM)), 0, QueryError),
        (np.ones((1, DIM)), -1, QueryError),
        (np.ones((1, DIM)), 10**9, QueryError),
    ],
)
def test_queries_without_meaning_are_refused(index, xq, k, error):
    with pytest.raises(error):
        index.search_vectors(xq, k)


def test_no_queries_have_no_answers(index):
    scores, ids = index.search_vectors(np.zeros((0, DIM), np.float32), 5)
    assert scores.shape == ids.shape == (0, 5)


def test_sixteen_threads_get_what_one_gets(index):
    asked = [(m, k) for m in ("text", "image") for k in (1, 7, 20)] * 5

    def ask(told: tuple[str, int]) -> tuple[list, list]:
        modality, k = told
        scores, ids = index.search_vectors(space().queries[modality][:40], k, modality=modality)
        return scores.tolist(), ids.tolist()

    alone = [ask(told) for told in asked]
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, asked)) == alone


def test_a_tail_that_grew_slow_to_search_is_built_merged_or_built_anew(tmp_path, monkeypatch):
    store = Store.create(tmp_path / "b.vsearch", INFO)
    fill(store, range(5000))
    store.close()
    monkeypatch.setattr("vsearch.build.upkeep.EXACT_SECONDS", 0.0)
    monkeypatch.setattr("vsearch.build.auto.EXACT_SECONDS", 0.0)
    with vsearch.open(tmp_path / "b.vsearch", write=True) as index:
        assert index.catch_up()["recipe"] == "opq-ivf-pq"
        fill(index.store, range(5000, 7000))
        assert index.catch_up()["merged"] == 2000
        assert index.info()["tail"] == 0
        strange = np.random.default_rng(0).standard_normal((600, DIM)).astype(np.float32)
        strange /= np.linalg.norm(strange, axis=1, keepdims=True)
        index.store.commit(Batch([Addition(record(COUNT + i), row) for i, row in enumerate(strange)]))
        assert "predicted" in index.catch_up(), "what is new fits the lists badly, so they are trained anew"
        assert index.info()["indexed"] == 7600
        found = index.search_vectors(strange[:50], 1)[1][:, 0]
        assert (found == np.arange(7000, 7050)).mean() > 0.9
