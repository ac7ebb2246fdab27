"""The geometry of the made-up joint space: what its documentation says, measured."""

import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
N = 6000


@pytest.fixture(scope="module")
def gapped():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import gapped
    finally:
        sys.path.remove(str(BENCHMARKS))
    return gapped


@pytest.fixture(scope="module")
def space(gapped):
    return gapped.Gapped(7)


def kinds(space) -> dict[str, np.ndarray]:
    return {
        "images": space.images(N),
        "image queries": space.image_queries(400),
        "text queries": space.text_queries(400),
        "text sample": space.text_sample(400),
    }


def test_all_are_unit_vectors_and_no_two_sets_share_any(space):
    made = kinds(space)
    for rows in made.values():
        assert rows.dtype == np.float32 and rows.shape[1] == 512
        np.testing.assert_allclose(np.linalg.norm(rows.astype(np.float64), axis=1), 1, atol=1e-6)
    together = np.concatenate(list(made.values()))
    assert len(np.unique(together, axis=0)) == len(together)


def test_the_modalities_lie_in_cones_with_a_gap_between(space):
    made = kinds(space)
    image, text = made["images"].mean(0), made["text queries"].mean(0)
    assert 0.6 < np.linalg.norm(image) < 0.8 and 0.6 < np.linalg.norm(text) < 0.85
    assert 0.7 < np.linalg.norm(image - text) < 1.0
    between_texts = (made["text queries"] @ made["text queries"].T)[np.triu_indices(400, 1)]
    assert between_texts.mean() > (made["text queries"] @ made["images"].T).max(axis=1).mean() + 0.1


def test_a_picture_has_near_neighbours_and_a_text_has_none(space):
    made = kinds(space)
    of_images, of_texts = made["image queries"] @ made["images"].T, made["text queries"] @ made["images"].T
    assert 0.75 < of_images.max(axis=1).mean() < 0.95 and 0.4 < of_images.mean() < 0.6
    assert 0.2 < of_texts.max(axis=1).mean() < 0.4 and 0.05 < of_texts.mean() < 0.25


def test_queries_of_both_kinds_come_from_their_own_distributions(space):
    made = kinds(space)
    for one, other in (("images", "image queries"), ("text queries", "text sample")):
        assert np.linalg.norm(made[one].mean(0) - made[other].mean(0)) < 0.1


def test_a_shape_of_ones_own(gapped):
    shape = gapped.Shape(dim=32, content=16, themes=2, topics=3, local=4, image_noise=0.0)
    rows = gapped.Gapped(1, shape).images(100)
    assert rows.shape == (100, 32)
    assert np.linalg.matrix_rank(rows, tol=1e-4) == 6 + 2 * 4, "six topics, two themes of four dimensions"


def test_the_same_seed_gives_the_same_and_fewer_are_the_first_of_more(gapped, space):
    more = gapped.Gapped(7).images(gapped.BLOCK + 50)
    assert (more[:N] == space.images(N)).all()
    assert (gapped.Gapped(7).text_queries(30) == space.text_queries(400)[:30]).all()
    assert not np.allclose(gapped.Gapped(8).images(10), more[:10])


def test_blocks_come_one_by_one(gapped, space):
    first, second = islice(space.image_blocks(10_000_000), 2)
    assert len(first) == len(second) == gapped.BLOCK
    assert not np.allclose(first[:100], second[:100])


def test_files_hold_what_the_generator_makes(gapped, space, tmp_path):
    gapped.write(tmp_path, 9000, 7, queries=20, sample=30)
    told = {path.stem: np.load(path, mmap_mode="r") for path in tmp_path.iterdir()}
    assert {name: rows.shape[0] for name, rows in told.items()} == {
        "images": 9000,
        "image_queries": 20,
        "text_queries": 20,
        "text_sample": 30,
    }
    assert (told["images"][:N] == space.images(N)).all()
    assert (told["images"][-1] == space.images(9000)[-1]).all()
    assert (told["text_queries"] == space.text_queries(20)).all()
