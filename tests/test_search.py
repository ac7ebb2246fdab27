"""The search path against numpy: exact, with an ANN stage, with a tail, with tombstones."""

from __future__ import annotations

import numpy as np
import pytest

from vsearch import ann, recipe
from vsearch.ann import Searchable
from vsearch.build import build, training_ids
from vsearch.errors import RecipeError, TooFewVectors
from vsearch.search import nearest
from vsearch.store import Addition, Batch, Record, Store
from vsearch.store.records import MISSING
from vsearch.types import EncoderInfo, PixelSpec

DIM = 32
INFO = EncoderInfo("model", "0" * 64, DIM, PixelSpec(8))
SMALL = """
name = "small"
kind = "faiss"
factory = "IVF{nlist},PQ{m}x8"
[build]
lists_per_sqrt = 1.0
train_per_list = 100
dims_per_byte = 2
seed = 1
[search.text]
nprobe = 16
rescore = 10
[search.image]
nprobe = 16
rescore = 10
"""


def clustered(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((30, DIM))
    made = centres[rng.integers(0, 30, n)] + 0.5 * rng.standard_normal((n, DIM))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def record(n: int, flags: int = 0) -> Record:
    return Record(b"/p/%d" % n, n.to_bytes(16, "big"), 1, 1, 1, 1, 1, 1, None, flags)


def truth(xb: dict[int, np.ndarray], xq: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.array(sorted(xb))
    scores = xq @ np.stack([xb[i] for i in ids]).astype(np.float16).astype(np.float32).T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), ids[order]


@pytest.fixture
def store(tmp_path):
    store = Store.create(tmp_path / "a.vsearch", INFO)
    rows = clustered(3000, 0)
    for first in range(0, 3000, 500):
        store.commit(Batch([Addition(record(i), rows[i]) for i in range(first, first + 500)]))
    yield store
    store.close()


def opened(store: Store) -> Searchable:
    with store.snapshot() as snapshot:
        named = snapshot.space.generation
        path = store.layout.ann(snapshot.space.name) / named.name / "index.faiss"
    return Searchable(ann.load(path, named.upto, named.name), recipe.from_plan(named.recipe))


def test_exact_search_equals_numpy(store):
    xq = clustered(20, 5)
    with store.snapshot() as snapshot:
        scores, ids = nearest(snapshot, xq, 10, "text")
    expected = truth(dict(enumerate(clustered(3000, 0))), xq, 10)
    np.testing.assert_allclose(scores, expected[0], atol=1e-5)
    assert ids.tolist() == expected[1].tolist()


def test_with_an_index_a_tail_and_tombstones_scores_are_cosines_and_nothing_dead_is_found(store):
    build(store, recipe.parse(SMALL))
    fresh = clustered(300, 7)
    store.commit(Batch([Addition(record(5000 + i), v) for i, v in enumerate(fresh)], dropped=list(range(0, 3000, 4))))
    store.commit(Batch(updates={1: record(1, MISSING)}))
    xb = {i: v for i, v in enumerate(clustered(3000, 0)) if i % 4 and i != 1}
    xb |= {3000 + i: v for i, v in enumerate(fresh)}
    xq = np.concatenate([clustered(50, 8), fresh[:20]])
    generation = opened(store)
    with store.snapshot() as snapshot:
        scores, ids = nearest(snapshot, xq, 10, "text", generation)
    expected = truth(xb, xq, 10)
    assert set(ids.ravel().tolist()) <= set(xb)
    assert ids[50:, 0].tolist() == list(range(3000, 3020)), "what was added after the build is found"
    found = np.array([[xb[i] for i in row] for row in ids.tolist()])
    np.testing.assert_allclose(scores, np.einsum("qd,qkd->qk", xq, found), atol=1e-3)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ids.tolist(), expected[1].tolist(), strict=True)])
    assert recall > 0.95


def test_pictures_that_were_missing_at_the_build_and_come_back_are_found(store):
    store.commit(Batch(updates={7: record(7, MISSING)}))
    build(store, recipe.parse(SMALL))
    store.commit(Batch(updates={7: record(7)}))
    generation = opened(store)
    with store.snapshot() as snapshot:
        _, ids = nearest(snapshot, clustered(3000, 0)[7:8], 1, "image", generation)
    assert ids.tolist() == [[7]]


def test_there_are_k_hits_whenever_k_exist(store):
    build(store, recipe.parse(SMALL))
    store.commit(Batch(dropped=list(range(2990))))
    generation = opened(store)
    xq = clustered(30, 9)
    with store.snapshot() as snapshot:
        _, ids = nearest(snapshot, xq, 20, "text", generation)
        assert (ids[:, :10] >= 2990).all()
        assert (ids[:, 10:] == -1).all()
        _, without = nearest(snapshot, xq, 20, "text", generation, exclude=frozenset({2995}))
        assert not (without == 2995).any()
        assert ((without >= 0).sum(axis=1) == 9).all()


def test_an_older_generation_answers_as_fully_as_a_newer_one(store):
    build(store, recipe.parse(SMALL))
    old = opened(store)
    fresh = clustered(40, 11)
    store.commit(Batch([Addition(record(9000 + i), v) for i, v in enumerate(fresh)]))
    build(store, recipe.parse(SMALL))
    with store.snapshot() as snapshot:
        for generation in (old, opened(store)):
            _, ids = nearest(snapshot, fresh, 1, "image", generation)
            assert ids[:, 0].tolist() == list(range(3000, 3040))


def test_training_vectors_are_a_seeded_random_sample_not_the_first_rows():
    ids = np.arange(0, 30_000, 3)
    chosen = training_ids(ids, 1000, 1)
    assert len(set(chosen.tolist())) == 1000
    assert set(chosen.tolist()) <= set(ids.tolist())
    assert chosen.tolist() == training_ids(ids, 1000, 1).tolist() != training_ids(ids, 1000, 2).tolist()
    # Of a uniform sample of 1,000, each tenth of the range gets about 100 (standard deviation under 10).
    assert (abs(np.histogram(chosen, 10, (0, 30_000))[0] - 100) < 50).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("nprobe = 16", "nprobe = -1"), "nprobe"),
        (("nprobe = 16", "probes = 16"), "unknown key 'probes'"),
        (('kind = "faiss"', 'kind = "magic"'), "kind"),
        (('name = "small"', "colour = 3"), "unknown key 'colour'"),
        (("rescore = 10", "rescore = nan"), "rescore"),
        (("seed = 1", 'seed = "x"'), "seed"),
        (("[build]", "[build"), "not TOML"),
    ],
)
def test_recipes_with_unknown_keys_or_impossible_numbers_are_refused(change, message):
    with pytest.raises(RecipeError, match=message):
        recipe.parse(SMALL.replace(*change, 1))


def test_every_bundled_recipe_can_be_read_and_a_wrong_name_lists_them():
    assert {"flat", "ivf-pq"} <= set(recipe.names())
    for name in recipe.names():
        assert recipe.load(name).name == name
    with pytest.raises(RecipeError, match="ivf-pq"):
        recipe.load("hnws")


def test_too_few_vectors_are_refused_with_a_reason(tmp_path):
    store = Store.create(tmp_path / "b.vsearch", INFO)
    store.commit(Batch([Addition(record(i), v) for i, v in enumerate(clustered(20, 1))]))
    with pytest.raises(TooFewVectors, match="20 vectors"):
        build(store, recipe.load("ivf-pq"))
    store.close()


def test_an_impossible_factory_is_a_recipe_error(store):
    with pytest.raises(RecipeError, match="FAISS cannot make"):
        build(store, recipe.parse(SMALL.replace("IVF{nlist},PQ{m}x8", "IVF{nlist},QP{m}")))
