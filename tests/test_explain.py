"""Explanations, each number against what a plain reading of the FAISS index gives."""

import json
import os
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest

import vsearch
from vsearch.ann import AnnIndex
from vsearch.ann.codes import decoded
from vsearch.errors import QueryError
from vsearch.index import Index
from vsearch.recipe import SearchSettings
from vsearch.search.explain import explain

DIM, N = 16, 500


def rows(n: int, seed: int) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.fixture
def given(tmp_path: Path):
    with vsearch.create(tmp_path / "v.vsearch", encoder=f"external:v:{DIM}") as index:
        index.add_vectors([f"u{i}" for i in range(N)], rows(N, 0))
        yield index


def stored(index: Index) -> np.ndarray:
    with index.store.snapshot() as snapshot:
        return snapshot.vectors(np.arange(N))


def test_ranks_are_those_of_a_plain_sort(given: Index):
    xq = rows(1, 3)[0]
    order = np.argsort(-(stored(given) @ xq), kind="stable").tolist()
    for place in (0, 4, 9, 10, 250, N - 1):
        told = given.explain(vsearch.Query(xq), order[place])
        assert told.exact_rank == place + 1
        assert told.ann_rank == (place + 1 if place < 10 else None)
        assert told.score == pytest.approx(float(stored(given)[order[place]] @ xq), abs=1e-6)
        assert not told.indexed and told.cell is told.nprobe is told.code_error is None
    assert given.explain(vsearch.Query(xq), order[250], 400).ann_rank == 251


def test_equal_scores_are_in_the_order_of_ids(tmp_path: Path):
    with vsearch.create(tmp_path / "t.vsearch", encoder=f"external:t:{DIM}") as index:
        ids = index.add_vectors(list("abc"), np.repeat(rows(1, 0), 3, axis=0))
        told = [index.explain(vsearch.Query(rows(1, 1)[0]), int(id)) for id in ids]
    assert [t.exact_rank for t in told] == [t.ann_rank for t in told] == [1, 2, 3]


def made(factory: str, upto: int = N) -> AnnIndex:
    index = faiss.index_factory(DIM, factory, faiss.METRIC_INNER_PRODUCT)
    index.train(rows(N, 0))
    index.add_with_ids(rows(N, 0)[:upto], np.arange(upto))
    return AnnIndex.of(index, upto)


@pytest.mark.parametrize("factory", ["IVF8,SQ8", "RR16,IVF8,SQ8", "IVF8,PQ8x4fsr"])
def test_the_list_and_the_code_are_those_that_faiss_holds(given: Index, factory: str):
    ann, xq = made(factory), rows(1, 3)
    ivf = faiss.extract_index_ivf(ann.index)
    behind = faiss.downcast_VectorTransform(ann.index.chain.at(0)).apply(xq) if factory.startswith("RR") else xq
    visited = ivf.quantizer.search(behind, 8)[1][0].tolist()
    if "fs" not in factory:
        ivf.make_direct_map()
    errors = []
    for id in range(0, N, 50):
        with given.store.snapshot() as snapshot:
            told = explain(snapshot, xq[0], id, np.array([id]), ann, SearchSettings(nprobe=3, rescore=4))
        where = next(
            c for c in range(8) if id in faiss.rev_swig_ptr(ivf.invlists.get_ids(c), ivf.invlists.list_size(c))
        )
        assert (told.cell, told.cell_rank) == (where, visited.index(where) + 1)
        assert (told.nprobe, told.probed, told.rescore) == (3, where in visited[:3], 4)
        if "fs" not in factory:
            coded = ann.index.reconstruct(id)
            x = stored(given)[id]
            assert told.code_error == pytest.approx(np.linalg.norm(x - coded) / np.linalg.norm(x), rel=1e-3)
            assert told.code_score == pytest.approx(float(xq[0] @ coded), abs=1e-5)
        errors.append(told.code_error)
    assert all(e is not None and 0 < e < 0.9 for e in errors)


@pytest.mark.parametrize("factory", ["IVF8,PQ8x4fsr", "IVF8,PQ8x4fs", "IVF8,PQ7x4fsr", "OPQ8,IVF8,PQ8x4fsr"])
def test_the_codes_of_a_fast_scan_index_read_from_a_file_are_those_of_the_one_that_was_made(factory: str):
    dim = 14 if "PQ7" in factory else DIM
    fresh = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
    fresh.train(rows(N, 0)[:, :dim])
    fresh.add(rows(N, 0)[:, :dim])
    lists = faiss.extract_index_ivf(fresh)
    # FAISS decodes those of an index that it has just made; of one that it has read, it would end the process.
    truth = [np.zeros(dim, np.float32) for _ in range(lists.invlists.list_size(3))]
    for row, out in enumerate(truth):
        lists.reconstruct_from_offset(3, row, faiss.swig_ptr(out))
    read = faiss.deserialize_index(faiss.serialize_index(fresh))
    assert len(truth) > 32  # of more than one block
    found = [decoded(AnnIndex.of(read, N).core, 3, row) for row in range(len(truth))]
    np.testing.assert_array_equal(found, truth)


def test_a_picture_is_probed_exactly_when_faiss_finds_it(given: Index):
    ann, xq = made("IVF8,Flat"), rows(1, 3)
    params = faiss.SearchParametersIVF(nprobe=3)
    reached = set(ann.index.search(xq, N, params=params)[1][0].tolist())
    with given.store.snapshot() as snapshot:
        told = [explain(snapshot, xq[0], id, np.array([]), ann, SearchSettings(3, 1)).probed for id in range(40)]
    assert told == [id in reached for id in range(40)] and set(told) == {True, False}


def test_what_a_graph_and_the_tail_cannot_tell_is_none(given: Index):
    graph = faiss.IndexIDMap2(faiss.index_factory(DIM, "HNSW8", faiss.METRIC_INNER_PRODUCT))
    graph.add_with_ids(rows(N, 0), np.arange(N))
    xq = rows(1, 3)[0]
    with given.store.snapshot() as snapshot:
        told = explain(snapshot, xq, 7, np.array([7]), AnnIndex.of(graph, N), SearchSettings(16, 2))
        tail = explain(snapshot, xq, 450, np.array([7]), made("IVF8,SQ8", upto=400), SearchSettings(3, 2))
    assert (told.indexed, told.cell, told.probed, told.code_error, told.rescore) == (True, None, None, None, 2)
    assert (tail.indexed, tail.cell, tail.rescore, tail.ann_rank) == (False, None, None, None)


def test_pictures_that_are_not_there(given: Index):
    with pytest.raises(QueryError, match="no picture has the id 9999"):
        given.explain(vsearch.Query(rows(1, 3)[0]), 9999)


def test_missing_pictures_have_no_rank(index: Index, photos: Path):
    id = next(hit.id for hit in index.search("red", 6) if hit.path.name == "red.png")
    assert index.explain("red", id).exact_rank == 1
    (photos / "red.png").unlink()
    index.add(vsearch.folder(photos))
    told = index.explain("red", id)
    assert told.exact_rank is told.ann_rank is None and told.score == pytest.approx(1, abs=1e-3)


def test_the_command(index: Index, tmp_path: Path):
    index.close()
    env = {**os.environ, "VSEARCH_INDEX": str(index.path)}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "vsearch", "explain", *words]
        return subprocess.run(program, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=120)

    done = run("red", "--id", "0", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0 and {"exact_rank", "ann_rank", "probed", "code_error"} < set(told)
    done = run("red", "--id", "0", "-k", "1")
    assert done.returncode == 0 and "exact rank" in done.stdout and "not among the 1" in done.stdout
    assert run("red", "--image", "x.png", "--id", "0").returncode == 2
    assert run("--id", "0").returncode == 2
