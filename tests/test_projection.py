"""The map's geometry: compared with numpy's SVD, and with what was built into the data."""

from pathlib import Path

import numpy as np
import pytest

import vsearch
from vsearch.projection import Projection, project
from vsearch.projection.layout import lay_out
from vsearch.projection.pca import principal


@pytest.mark.parametrize("shape", [(200, 16), (12, 40), (40, 40)])
def test_principal_components_are_those_of_the_svd(shape: tuple[int, int]):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32) @ np.diag(np.linspace(3, 1, shape[1]))
    x = x.astype(np.float32)
    u, s, vt = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    signs = np.sign(vt[:2][np.arange(2), np.abs(vt[:2]).argmax(axis=1)])
    np.testing.assert_allclose(principal(x, 2), (u * s)[:, :2] * signs, atol=2e-3)


@pytest.mark.parametrize(("shape", "there"), [((1, 8), 0), ((2, 8), 1), ((5, 1), 1)])
def test_directions_that_there_are_not_are_zero(shape: tuple[int, int], there: int):
    made = principal(np.random.default_rng(0).normal(size=shape).astype(np.float32), 2)
    assert made.shape == (shape[0], 2)
    np.testing.assert_allclose(made[:, there:], 0, atol=1e-5)


def blobs(counts: list[int], dim: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors about as many directions as there are counts, and which is whose."""
    rng = np.random.default_rng(seed)
    middles = np.linalg.qr(rng.normal(size=(dim, len(counts))))[0].T
    whose = np.repeat(np.arange(len(counts)), counts)
    x = middles[whose] + rng.normal(scale=0.05, size=(len(whose), dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), whose


def test_discs_of_groups_are_free_and_as_large_as_their_groups():
    counts = [300, 100, 80, 20]
    x, whose = blobs(counts)
    centres = np.stack([x[whose == g].mean(axis=0) for g in range(4)])
    places = lay_out(x, whose, centres)
    assert np.abs(places).max() == pytest.approx(1, abs=1e-5)
    middles = np.stack([(places[whose == g].min(axis=0) + places[whose == g].max(axis=0)) / 2 for g in range(4)])
    radii = np.array([np.linalg.norm(places[whose == g] - middles[g], axis=1).max() for g in range(4)])
    for a in range(4):
        for b in range(a):
            nearest = np.linalg.norm(places[whose == a][:, None] - places[whose == b][None], axis=2).min()
            assert nearest > 0
            assert np.linalg.norm(middles[a] - middles[b]) > 0.9 * (radii[a] + radii[b])
    np.testing.assert_allclose(radii / radii[0], np.sqrt(np.array(counts) / counts[0]), rtol=0.2)


def test_all_in_one_place_is_laid_out_too():
    x = np.ones((5, 4), np.float32)
    places = lay_out(x, np.array([0, 0, 1, 1, 2]), np.ones((3, 4), np.float32))
    assert np.isfinite(places).all()
    assert len({tuple(p) for p in places[[0, 2, 4]].round(3).tolist()}) == 3


def made(place: Path, x: np.ndarray, captions: list[str | None] | None = None) -> Projection:
    names = [f"pictures/{n}.jpg" for n in range(len(x))]
    with vsearch.create(place, encoder="toy") as index:
        index.add_vectors(names, x, {"caption": captions} if captions else None)
        return index.projection()


def test_groups_are_those_of_the_data_and_named_by_their_captions(tmp_path: Path):
    x, whose = blobs([60, 40, 20], dim=64)
    words = ["grey cat", "old boat", "red rose"]
    told = made(tmp_path / "x.vsearch", x, [f"the {words[g]} of picture {n}" for n, g in enumerate(whose)])
    assert told.ids.tolist() == list(range(120))
    for group in range(len(told.groups)):
        assert len(set(whose[told.group == group])) == 1, "a group of ours lies within one of the data"
    assert [group.count for group in told.groups] == np.bincount(told.group).tolist()
    assert sorted(np.bincount(told.group), reverse=True) == np.bincount(told.group).tolist()
    labels = [group.label for group in told.groups]
    assert len(set(labels)) == len(labels)
    for group, source in {told.group[whose == g][0]: g for g in range(3)}.items():
        if np.isin(whose, source).sum() == (told.group == group).sum():
            assert set(told.groups[group].label.split(", ")) <= set(words[source].split())


def test_groups_without_captions_are_named_by_phrases(tmp_path: Path):
    x, _ = blobs([30, 30], dim=64)
    told = made(tmp_path / "x.vsearch", x)
    assert all(group.label and not group.label.startswith("group ") for group in told.groups)


def test_the_same_collection_gives_the_same_map(tmp_path: Path):
    x, _ = blobs([50, 30, 20], dim=64)
    first, second = made(tmp_path / "a.vsearch", x), made(tmp_path / "b.vsearch", x)
    np.testing.assert_array_equal(first.xy, second.xy)
    assert first.groups == second.groups


def test_tags_are_counted_and_name_groups(tmp_path: Path, index: vsearch.Index):
    index.tag(["red", "green", "blue", "yellow", "white", "black"], min_confidence=0.0, top=1)
    told = index.projection()
    assert {tag.label for tag in told.tags} == {"red", "green", "blue", "yellow", "white", "black"}
    with index.store.snapshot() as snapshot:
        for id, tag in zip(told.ids.tolist(), told.tag.tolist(), strict=True):
            assert snapshot.tags(id)[0][0] == told.tags[tag].label


def test_a_large_collection_is_sampled_evenly_and_an_empty_one_is_empty(tmp_path: Path):
    x, _ = blobs([100, 100], dim=64)
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        assert index.projection().pictures == len(index.projection().ids) == 0
        index.add_vectors([f"{n}.jpg" for n in range(200)], x)
        with index.store.snapshot() as snapshot:
            told = project(snapshot, most=50)
    assert (len(told.ids), told.pictures, len(told.xy)) == (50, 200, 50)
    assert 15 <= (told.ids < 100).sum() <= 35
