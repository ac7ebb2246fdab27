"""Measuring an index: the recall is a plain loop's, the queries are those that are asked for."""

import json
from pathlib import Path

import numpy as np
import pytest
from forked import run

import vsearch
from vsearch.errors import DimensionMismatch, QueryError
from vsearch.evaluate import measure, recall
from vsearch.evaluate.ann import Queries
from vsearch.index import Index

DIM, N = 16, 400


def rows(n: int, seed: int) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.fixture
def given(tmp_path: Path):
    with vsearch.create(tmp_path / "v.vsearch", encoder=f"external:v:{DIM}") as index:
        index.add_vectors([f"u{i}" for i in range(N)], rows(N, 0))
        yield index


def exact(index: Index, xq: np.ndarray, k: int) -> np.ndarray:
    """Ids of the k best by a plain loop over what is stored."""
    with index.store.snapshot() as snapshot:
        ids = snapshot.live_ids()
        stored = snapshot.vectors(ids).astype(np.float64)
    return np.array([[ids[i] for i in sorted(range(len(ids)), key=lambda i: -(stored[i] @ q))[:k]] for q in xq])


def test_recall_is_the_share_of_the_true_ones(given: Index):
    xq = rows(30, 1)
    truth = exact(given, xq, 10)
    found = truth.copy()
    for query, drop in enumerate(np.random.default_rng(2).integers(0, 11, 30)):
        found[query, :drop] = exact(given, -xq[query : query + 1], 10)[0, :drop]  # the farthest
    expected = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth.tolist(), found.tolist(), strict=True)])
    assert 0.2 < expected < 0.8
    assert recall(given, Queries(xq, "given"), found, 10) == pytest.approx(expected)
    assert recall(given, Queries(xq, "given"), truth[:, ::-1], 10) == 1.0, "order does not matter"
    assert recall(given, Queries(xq, "given"), np.full_like(truth, -1), 10) == 0.0
    assert recall(given, Queries(xq, "given"), np.repeat(truth[:, :1], 10, axis=1), 10) == pytest.approx(0.1)


def test_ties_are_as_good_and_a_short_collection_asks_for_no_more(tmp_path: Path):
    same = np.repeat(rows(1, 0), 6, axis=0)
    with vsearch.create(tmp_path / "t.vsearch", encoder=f"external:t:{DIM}") as index:
        ids = index.add_vectors([f"u{i}" for i in range(8)], np.concatenate([same, -same[:2]]))
        queries = Queries(same[:1], "given")
        assert recall(index, queries, ids[None, 3:5], 2) == 1.0
        assert recall(index, queries, ids[None, 5:7], 2) == 0.5
        everything = np.full((1, 10), -1)
        everything[0, :8] = ids
        assert recall(index, queries, everything, 10) == 1.0


def test_an_exact_index_is_exact_and_stored_queries_do_not_find_themselves(given: Index):
    told = []
    figures = measure(given, k=5, count=70, on_notice=told.append)
    assert figures["text"] is None and len(told) == 1 and "--text-queries" in told[0]
    assert {name: figures[name] for name in ("bytes_per_vector", "count", "dim", "index", "k")} == {
        "bytes_per_vector": 2.0 * DIM,
        "count": N,
        "dim": DIM,
        "index": "exact",
        "k": 5,
    }
    image = figures["image"]
    assert (image["recall@5"], image["queries"], image["origin"]) == (1.0, 70, "sample")
    assert 0 < image["p50_ms"] <= image["p95_ms"]
    assert image["queries_per_second"] > 0 and image["queries_per_second_batch_100"] > 0
    assert {"recall@5", "p50_ms", "p95_ms", "queries_per_second"} < set(image)


def test_queries_of_any_length_can_be_given(given: Index):
    figures = measure(given, text=7 * rows(20, 4), image=rows(30, 5).astype(np.float16))
    for name, number in (("text", 20), ("image", 30)):
        assert (figures[name]["recall@10"], figures[name]["queries"], figures[name]["origin"]) == (1.0, number, "given")


def test_what_cannot_be_measured_says_why(given: Index, tmp_path: Path):
    with pytest.raises(DimensionMismatch, match="16"):
        measure(given, text=np.ones((3, DIM + 1), np.float32))
    with pytest.raises(QueryError, match="zero"):
        measure(given, text=np.zeros((3, DIM), np.float32))
    with vsearch.create(tmp_path / "e.vsearch", encoder="toy") as empty, pytest.raises(QueryError, match="empty"):
        measure(empty)


def test_few_captions_give_way_to_phrases_and_many_are_used(index: Index, tmp_path: Path):
    figures = measure(index, count=40)
    assert (figures["text"]["origin"], figures["text"]["queries"], figures["image"]["queries"]) == ("phrases", 40, 6)
    assert figures["text"]["recall@10"] == figures["image"]["recall@10"] == 1.0
    captions = [f"picture {i}\npicture {i + 1}" for i in range(520)]
    index.add_vectors(
        [f"v{i}" for i in range(520)], np.eye(64, dtype=np.float32)[np.arange(520) % 64], {"caption": captions}
    )
    told = measure(index, count=110)["text"]
    assert (told["origin"], told["queries"]) == ("captions", 110)


def test_the_command_prints_one_object_or_a_table(given: Index, tmp_path: Path):
    given.close()
    np.save(tmp_path / "texts.npy", rows(12, 6))
    code, out, err = run("eval", "ann", "--text-queries", "texts.npy", "--queries", "9", "--json", cwd=tmp_path)
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert (told["text"]["queries"], told["image"]["queries"], told["text"]["recall@10"]) == (12, 9, 1.0)
    code, out, err = run("eval", "ann", "--index", "v.vsearch", "--queries", "9", cwd=tmp_path)
    assert code == 0 and "no text was measured" in err
    assert "recall@10" in out and "400 vectors of 16 dimensions, index exact, 32.0 bytes per vector" in out
    code, out, err = run("eval", "ann", "--image-queries", "none.npy", cwd=tmp_path)
    assert (code, out) == (2, "") and "none.npy" in err


def test_a_built_index_is_measured_and_explained_with_its_own_settings(tmp_path: Path):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, DIM))
    xb = (centres[rng.integers(0, 40, 3000)] + 0.4 * rng.normal(size=(3000, DIM))).astype(np.float32)
    with vsearch.create(tmp_path / "b.vsearch", encoder=f"external:b:{DIM}") as index:
        index.add_vectors([f"u{i}" for i in range(3000)], xb)
        report = index.build("ivf-sq8", text_queries=rows(400, 3))
        figures = measure(index, text=rows(100, 4), count=100)
        xq = rows(1, 5)[0]
        told = [index.explain(vsearch.Query(xq), int(id)) for id in exact(index, xq[None], 10)[0]]
        found = {hit.id for hit in index.search(xq, 10)}
    assert figures["index"] == "ivf-sq8"
    assert figures["bytes_per_vector"] == pytest.approx(report["bytes_per_vector"], abs=0.1)
    assert figures["text"]["recall@10"] > 0.8 and figures["image"]["recall@10"] > 0.9
    assert [t.exact_rank for t in told] == list(range(1, 11))
    assert all(t.indexed and t.nprobe and t.code_error is not None and 0 < t.code_error < 0.1 for t in told)
    assert [t.ann_rank is not None for t in told] == [t.id in found for t in told]
    assert all(t.probed for t in told if t.ann_rank), "what was found was visited"
