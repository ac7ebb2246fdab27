"""FAISS behind its seam: every kind of index finds, saves, loads, grows and forgets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.gapped_space import COUNT, DIM, recall, space
from vsearch import ann, recipe
from vsearch.ann.parts import code_bytes, construct
from vsearch.errors import IndexCorrupt, RecipeError
from vsearch.kernels import rescore
from vsearch.recipe import SearchSettings

KINDS = [name for name in recipe.names() if name != "flat"]
LISTS = [name for name in KINDS if name != "hnsw"]
WIDE = SearchSettings(64, 20)
ALL = np.full(COUNT // 8, 255, np.uint8)


@pytest.fixture(scope="module")
def cells():
    return ann.Cells(ann.train_cells(space().images[:4000], 64, 1))


def grown(name: str, cells: ann.Cells, upto: int = COUNT) -> ann.Growing:
    made = recipe.plan(recipe.load(name), COUNT, DIM)
    factory = made.recipe.factory.format(nlist=64, m=64 if "x4fs" in made.recipe.factory else 32, dim=DIM)
    weights = 0.5 * ann.second_moment(space().images) + 0.5 * ann.second_moment(space().texts)
    queries = weights if recipe.load(name).build.transform else None
    index = ann.trained(factory, space().images[:4000], cells if name != "hnsw" else None, 1, queries)
    for first in range(0, upto, 1000):
        index.add(np.arange(first, min(upto, first + 1000)), space().images[first : min(upto, first + 1000)])
    return index


def found(index: ann.AnnIndex, modality: str, live: np.ndarray = ALL, settings: SearchSettings = WIDE) -> np.ndarray:
    xq = space().queries[modality]
    candidates = index.search(xq, 10 * settings.rescore, settings, live)
    return rescore(xq, candidates, 10, lambda ids: space().images[ids])[1]


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_finds_saves_loads_and_honours_the_bitmap(name, cells, tmp_path):
    index = grown(name, cells).finished(COUNT)
    assert len(index) == COUNT
    before = {m: found(index, m) for m in ("image", "text")}
    assert recall(space(), "image", before["image"]) > 0.97
    assert recall(space(), "text", before["text"]) > 0.9
    with open(tmp_path / "index", "wb") as file:
        index.save(lambda data: file.write(data))
    loaded = ann.load(tmp_path / "index", COUNT, "x")
    assert {m: found(loaded, m).tolist() for m in before} == {m: ids.tolist() for m, ids in before.items()}
    odd = np.full(COUNT // 8, 0b10101010, np.uint8)
    assert (found(loaded, "text", odd) % 2 == 1).all()


@pytest.mark.parametrize("name", LISTS)
def test_an_index_that_grew_and_forgot_finds_what_one_made_at_once_finds(name, cells, tmp_path):
    half = grown(name, cells, COUNT // 2).finished(COUNT // 2)
    with open(tmp_path / "index", "wb") as file:
        half.save(lambda data: file.write(data))
    index = ann.load(tmp_path / "index", COUNT // 2, "x")
    kept = np.full(COUNT // 8, 255, np.uint8)
    kept[:100] = 0
    assert index.remove_others(kept) == 800
    grown_on = ann.Growing.onto(index)
    for first in range(COUNT // 2, COUNT, 500):
        grown_on.add(np.arange(first, first + 500), space().images[first : first + 500])
    merged = grown_on.finished(COUNT)
    assert len(merged) == COUNT - 800
    with open(tmp_path / "merged", "wb") as file:
        merged.save(lambda data: file.write(data))
    merged = ann.load(tmp_path / "merged", COUNT, "y")
    at_once = grown(name, cells).finished(COUNT)
    for modality in ("image", "text"):
        one, other = found(merged, modality, kept), found(at_once, modality, kept)
        assert (one >= 800).all()
        assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(one.tolist(), other.tolist(), strict=True)]) > 0.99


@pytest.mark.parametrize("name", ["opq-ivf-pq", "ivf-sq8", "hnsw"])
def test_sixteen_threads_with_different_settings_find_what_one_finds(name, cells):
    index = grown(name, cells).finished(COUNT)
    told = [SearchSettings(1 + 4 * n, 2 + n) for n in range(16)]
    alone = [found(index, "text", settings=s).tolist() for s in told]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda s: found(index, "text", settings=s).tolist(), told * 3))
    assert together == alone * 3


def test_fewer_candidates_than_wanted_are_filled_with_minus_one(cells):
    index = grown("opq-ivf-pq", cells, 1000).finished(1000)
    live = np.zeros(COUNT // 8, np.uint8)
    live[3] = 0b00000110
    ids = index.search(space().queries["text"], 5, SearchSettings(64, 1), live)
    assert {*ids.ravel().tolist()} == {25, 26, -1}
    assert (np.sort(ids, axis=1)[:, :3] == -1).all()


@pytest.mark.parametrize("name", LISTS)
def test_the_bytes_of_a_code_are_what_an_index_grows_by(name, cells):
    made = recipe.plan(recipe.load(name), COUNT, DIM)
    each, _ = code_bytes(made.recipe.factory.format(nlist=64, m=32, dim=DIM), DIM)
    small, large = (_grown_to(made, cells, n).memory for n in (3200, 8000))
    assert abs((large - small) / 4800 / each - 1) < 0.25


def _grown_to(made: recipe.Plan, cells: ann.Cells, count: int) -> ann.AnnIndex:
    factory = made.recipe.factory.format(nlist=64, m=32, dim=DIM)
    index = ann.trained(factory, space().images[:4000], cells, 1, None)
    index.add(np.arange(count), space().images[:count])
    return index.finished(count)


def test_a_cut_index_is_corrupt_and_says_so(cells, tmp_path):
    index = grown("opq-ivf-pq", cells).finished(COUNT)
    parts: list[bytes] = []
    index.save(lambda data: parts.append(bytes(data)))
    (tmp_path / "cut").write_bytes(b"".join(parts)[:-5000])
    with pytest.raises(IndexCorrupt, match="FAISS cannot read it"):
        ann.load(tmp_path / "cut", COUNT, "x")


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("IVF64,QP8", "cannot make"),
        ("Flat", "begins with IVF"),
        ("PCA16,IVF64,Flat", "begins with IVF"),
        ("HNSW32", "begins with IVF"),
    ],
)
def test_factories_that_would_not_work_are_refused(factory, message):
    with pytest.raises(RecipeError, match=message):
        construct(factory, DIM)


def test_cells_are_filled_by_distance_and_survive_the_map(cells):
    index = grown("opq-ivf-pq", cells).finished(COUNT)
    np.testing.assert_allclose(index.cells().centroids, cells.centroids, atol=1e-4)
    rows = space().images[:500]
    distances = ((rows[:, None] - cells.centroids[None]) ** 2).sum(axis=2)
    told, error = cells.of(rows)
    np.testing.assert_allclose(error, distances.min(axis=1), atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(distances, told[:, None], 1)[:, 0], distances.min(axis=1), atol=1e-5)


def test_a_dead_id_is_not_found_when_as_many_live_ones_lie_behind_the_index():
    faiss = pytest.importorskip("faiss")
    from vsearch.ann import AnnIndex

    rows = np.eye(4, dtype=np.float32)[:3]
    index = faiss.index_factory(4, "IVF1,Flat", faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid = 1
    index.train(rows)
    index.add_with_ids(rows, np.arange(3))
    live = np.packbits(np.array([0, 1, 1, 1, 0, 0, 0, 0], bool), bitorder="little")  # 0 is dead, 3 came later
    found = AnnIndex.of(index, 3).search(rows[:1], 3, SearchSettings(1, 1), live)
    assert 0 not in found
