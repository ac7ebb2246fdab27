"""Building from a store: predicted, tuned, told, merged, and refused before it hurts."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

import vsearch
from tests.gapped_space import COUNT, DIM, recall, space
from vsearch import recipe
from vsearch.build import Goal, build, drift, merge, predict
from vsearch.build.auto import choose
from vsearch.build.predict import fitted
from vsearch.build.queries import COUNT as ASKED
from vsearch.build.queries import Asked, asked, pictures, ranks
from vsearch.errors import DimensionMismatch, MemoryBudgetTooSmall, QueryError, RecipeError
from vsearch.store import Addition, Batch, Record, Store
from vsearch.types import EncoderInfo, PixelSpec

INFO = EncoderInfo(f"external:gap:{DIM}", "0" * 64, DIM, PixelSpec(8))


def record(n: int) -> Record:
    return Record(b"/p/%d" % n, n.to_bytes(16, "big"), 1, 1, 1, 1, 1, 1)


def fill(store: Store, ids: range) -> None:
    for first in range(ids.start, ids.stop, 2000):
        some = range(first, min(ids.stop, first + 2000))
        store.commit(Batch([Addition(record(i), space().images[i]) for i in some]))


@pytest.fixture
def store(tmp_path):
    store = Store.create(tmp_path / "a.vsearch", INFO)
    fill(store, range(COUNT))
    yield store
    store.close()


def measured(store: Store) -> dict[str, float]:
    store.close()
    with vsearch.open(store.layout.root) as index:
        return {
            m: recall(space(), m, index.search_vectors(space().queries[m], modality=m)[1]) for m in ("text", "image")
        }


@pytest.mark.parametrize("name", ["opq-ivf-pq", "ivf-flat", "hnsw"])
def test_tuned_settings_reach_their_targets_on_queries_never_seen(store, name):
    goal = Goal(0.9)
    report = build(store, recipe.load(name), goal, space().texts)
    assert report["text"]["reached"] and report["image"]["reached"]
    for modality, found in measured(store).items():
        assert found > goal.target(modality) - 0.02, modality
        assert abs(found - report[modality]["recall@10"]) < 0.03, "and the report tells the truth"


def test_the_cheapest_settings_are_taken_a_low_target_costs_less(store):
    low = build(store, recipe.load("opq-ivf-pq"), Goal(0.5), space().texts)
    high = build(store, recipe.load("opq-ivf-pq"), Goal(0.97), space().texts)
    assert low["text"]["nprobe"] < high["text"]["nprobe"]
    assert low["text"]["recall@10"] < high["text"]["recall@10"]
    again = build(store, recipe.load("opq-ivf-pq"), Goal(0.97), space().texts)
    assert again["transforms"] == high["transforms"], "the same rows and seed make the same index"
    assert again["assignment_error"] == high["assignment_error"]


def test_a_target_out_of_reach_is_told_with_what_was_reached(store):
    coarse = recipe.parse(
        'name = "coarse"\nkind = "faiss"\nfactory = "IVF{nlist},PQ1x4fsr"\n[build]\nlists_per_sqrt = 3.0\n'
        "train_per_list = 40\ndims_per_byte = 8\nseed = 1\n"
        "[search.text]\nnprobe = 8\nrescore = 2\n[search.image]\nnprobe = 8\nrescore = 2\n"
    )
    report = build(store, coarse, Goal(0.999), space().texts)
    assert not report["text"]["reached"] and 0 < report["text"]["recall@10"] < 0.999
    assert abs(measured(store)["text"] - report["text"]["recall@10"]) < 0.05


def test_without_texts_only_pictures_are_measured_and_text_searches_wider(store):
    report = build(store, recipe.load("opq-ivf-pq"))
    assert "text" not in report and "image" in report
    with store.snapshot() as snapshot:
        kept = recipe.from_plan(snapshot.space.generation.recipe)
    assert kept.text.nprobe >= 4 * report["image"]["nprobe"]


def test_latency_is_kept_before_recall(store):
    free = build(store, recipe.load("opq-ivf-pq"), Goal(0.99), space().texts)
    bound = build(store, recipe.load("opq-ivf-pq"), Goal(0.99, latency=1e-9), space().texts)
    assert bound["text"]["nprobe"] < free["text"]["nprobe"] and not bound["text"]["reached"]


def test_truth_for_tuning_is_exact_and_a_picture_is_no_answer_to_itself(store):
    store.commit(Batch(dropped=list(range(0, COUNT, 3))))
    with store.snapshot() as snapshot:
        images, texts = pictures(snapshot, 0), asked(snapshot, space().queries["text"], np.full(200, -1))
    live = np.array([i for i in range(COUNT) if i % 3])
    for told in (images, texts):
        scores = told.xq @ space().images[live].T
        scores[live[None] == told.own[:, None]] = -np.inf
        best = np.sort(scores, axis=1)[:, ::-1][:, :10]
        np.testing.assert_allclose(np.einsum("qkd,qd->qk", space().images[told.truth], told.xq), best, atol=1e-6)
    assert len(images) == ASKED and (images.truth != images.own[:, None]).all()


def test_the_recall_that_is_told_is_that_of_other_queries(store):
    """What tuning says of unseen queries against a search for queries that it never saw."""
    report = build(store, recipe.load("opq-ivf-pq"), Goal(0.95), space().texts)
    found = measured(store)
    for modality in ("text", "image"):
        assert abs(report[modality]["recall@10"] - found[modality]) < 0.03


def test_ranks_pass_over_the_query_itself():
    told = Asked(np.zeros((2, 1), np.float32), np.array([7, -1]), np.array([[5, 9, -1], [7, 1, 2]]))
    candidates = np.array([[7, 5, 3, 9], [1, 7, -1, -1]])
    assert ranks(candidates, told).tolist() == [[0, 2, 4], [1, 0, 4]]


def test_too_little_memory_is_refused_before_any_work_and_tells_the_need(store):
    with pytest.raises(MemoryBudgetTooSmall, match="needs") as refused:
        build(store, recipe.load("opq-ivf-pq"), Goal(memory=1 << 20))
    assert refused.value.given == 1 << 20 < refused.value.need
    assert build(store, recipe.load("opq-ivf-pq"), Goal(memory=refused.value.need))["count"] == COUNT


def test_less_memory_makes_a_smaller_training_sample_never_too_small_a_one():
    made = recipe.plan(recipe.load("opq-ivf-pq"), 1_000_000, 512)
    full = predict(made, 1_000_000, 512).memory
    less = fitted(made, 1_000_000, 512, full * 9 // 10)
    assert made.nlist * 20 <= less.train < made.train
    assert predict(less, 1_000_000, 512).memory <= full * 9 // 10
    with pytest.raises(MemoryBudgetTooSmall):
        fitted(made, 1_000_000, 512, 300 << 20)


def test_the_choice_follows_size_and_memory():
    assert choose(1000, 512, Goal()).name == "flat"
    assert choose(3_000_000, 512, Goal()).name == "opq-ivf-pq"
    need = predict(recipe.plan(recipe.load("opq-ivf-pq"), 3_000_000, 512), 3_000_000, 512).memory
    assert choose(3_000_000, 512, Goal(memory=need)).name == "opq-ivf-pq"


@pytest.mark.parametrize("wrong", [{"recall": 1.0}, {"recall": 0.0}, {"memory": 0}, {"latency": -1.0}])
def test_impossible_goals_are_refused(wrong):
    with pytest.raises(RecipeError):
        Goal(**wrong)


def test_merging_the_tail_finds_as_much_as_a_fresh_build(tmp_path):
    with closing(Store.create(tmp_path / "b.vsearch", INFO)) as store:
        fill(store, range(COUNT * 3 // 4))
        build(store, recipe.load("opq-ivf-pq"), Goal(), space().texts)
        store.commit(Batch(dropped=list(range(0, 1000))))
        fill(store, range(COUNT * 3 // 4, COUNT))
        moved = drift(store)
        assert 0.2 < moved.tail < 0.3 and 0.9 < moved.misfit < 1.2 and not moved.stale
        report = merge(store)
        assert report["merged"] == COUNT // 4 and report["removed"] == 1000
        assert drift(store).tail == 0
    with vsearch.open(tmp_path / "b.vsearch") as index:
        told = index.info()
        assert told["tail"] == 0 and told["indexed"] == COUNT - 1000
        ids = index.search_vectors(space().queries["text"], modality="text")[1]
    scores = space().queries["text"] @ space().images[1000:].T
    kth = np.sort(scores, axis=1)[:, -10]
    found = np.einsum("qkd,qd->qk", space().images[ids], space().queries["text"])
    assert (found >= kth[:, None] - 1e-6).mean() > 0.93


def test_rows_of_another_kind_make_an_index_stale(store):
    build(store, recipe.load("ivf-sq8"))
    strange = np.random.default_rng(0).standard_normal((500, DIM)).astype(np.float32)
    strange /= np.linalg.norm(strange, axis=1, keepdims=True)
    store.commit(Batch([Addition(record(COUNT + i), row) for i, row in enumerate(strange)]))
    assert drift(store).stale


def test_merging_without_an_index_is_refused(store):
    assert drift(store) is None
    with pytest.raises(QueryError, match="vsearch build"):
        merge(store)


def test_the_index_object_tells_what_was_measured_and_checks_text_queries(store):
    store.close()
    with vsearch.open(store.layout.root, write=True) as index:
        for wrong, error in ((np.ones((9, 3)), DimensionMismatch), (np.zeros((9, DIM)), QueryError)):
            with pytest.raises(error):
                index.build("opq-ivf-pq", text_queries=wrong)
        report = index.build("opq-ivf-pq", text_queries=7 * space().texts)
        told = index.info()
        assert told["text"] == report["text"] and told["bytes_per_vector"] == report["bytes_per_vector"]
        assert index.build() == {"recipe": "flat"}
        assert index.catch_up() is None
