"""Recipes as data: read strictly, kept whole beside an index, and as good as they say before any tuning."""

from __future__ import annotations

import numpy as np
import pytest

from tests.gapped_space import COUNT, DIM, recall, space
from vsearch import ann, recipe
from vsearch.errors import RecipeError, TooFewVectors
from vsearch.kernels import rescore

KINDS = [name for name in recipe.names() if name != "flat"]
TEXT = """
name = "mine"
about = "with \\"quotes\\", a \\\\ and a\\nnew line"
kind = "faiss"
factory = "IVF{nlist},PQ{m}x8"
[floor]
text = 0.5
[build]
lists_per_sqrt = 1.0
train_per_list = 100
dims_per_byte = 2
seed = 1
transform = true
[search.text]
nprobe = 16
rescore = 10
[search.image]
nprobe = 16
rescore = 10
"""


def test_the_bundled_recipes_are_these_and_each_says_what_it_is_for():
    kinds = "flat gpu-ivf-fp16 hnsw ivf-flat ivf-pq ivf-pq-fastscan ivf-rabitq ivf-sq8 opq-ivf-pq"
    assert recipe.names() == kinds.split()
    for name in recipe.names():
        told = recipe.load(name)
        assert told.name == name and len(told.about) > 60
        assert told.kind == "flat" or set(told.floor) == {"text", "image"}
    with pytest.raises(RecipeError, match="opq-ivf-pq"):
        recipe.load("hnws")


@pytest.mark.parametrize("name", KINDS)
def test_a_bundled_recipe_reaches_its_floor_before_it_is_tuned(name):
    told = recipe.load(name)
    made = recipe.plan(told, COUNT, DIM)
    rows = space().images[np.random.default_rng(1).permutation(COUNT)[: made.train]]
    cells = ann.Cells(ann.train_cells(rows, made.nlist, 1)) if "IVF" in made.factory else None
    weights = 0.5 * ann.second_moment(rows) + 0.5 * ann.second_moment(space().texts)
    index = ann.trained(made.factory, rows, cells, 1, weights if told.build.transform else None)
    index.add(np.arange(COUNT), space().images)
    done = index.finished(COUNT)
    for modality, floor in told.floor.items():
        settings, xq = told.search(modality), space().queries[modality]
        found = done.search(xq, 10 * settings.rescore, settings, np.full(COUNT // 8, 255, np.uint8))
        ids = rescore(xq, found, 10, lambda ids: space().images[ids])[1]
        assert recall(space(), modality, ids) >= floor, modality


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("nprobe = 16", "nprobe = 0"), "nprobe"),
        (("nprobe = 16", "nprobe = true"), "nprobe"),
        (("nprobe = 16", "nprobe = 1.5"), "whole number"),
        (("nprobe = 16\n", ""), "nprobe is None"),
        (("nprobe = 16", "probes = 16"), "unknown key 'probes'"),
        (("[search.image]", "[search.sound]"), "unknown key 'sound'"),
        (("rescore = 10", "rescore = inf"), "rescore"),
        (("rescore = 10", "rescore = 99999999999"), "rescore"),
        (("text = 0.5", "text = 1.5"), "floor"),
        (("transform = true", "transform = 1"), "true or false"),
        (("seed = 1", "seed = -1"), "seed"),
        (("name =", "title ="), "unknown key 'title'"),
        (("[build]", "[built]"), "unknown key 'built'"),
        (("{nlist}", "{lists}"), "only {nlist}"),
        (("{nlist}", "{nlist.real.x}"), "only {nlist}"),
    ],
)
def test_recipes_with_unknown_keys_or_impossible_numbers_are_refused(change, message):
    with pytest.raises(RecipeError, match=message):
        recipe.plan(recipe.parse(TEXT.replace(*change, 1)), 10_000, 64)


def test_a_recipe_file_that_cannot_be_read_is_a_recipe_error(tmp_path):
    (tmp_path / "bad.toml").write_bytes(b"name = \xff")
    for path, message in ((tmp_path / "bad.toml", "UTF-8"), (tmp_path / "none.toml", "cannot be read")):
        with pytest.raises(RecipeError, match=message):
            recipe.load(path)
    (tmp_path / "mine.toml").write_text(TEXT, "utf-8")
    assert recipe.load(str(tmp_path / "mine.toml")).name == "mine"


def test_what_is_kept_beside_an_index_gives_back_recipe_settings_and_measurements():
    told = recipe.parse(TEXT)
    measured = {"bytes_per_vector": 88.5, "text_weight": "none", "text": {"recall@10": 0.95, "reached": True}}
    text, image = recipe.SearchSettings(3, 4), recipe.SearchSettings(5, 6)
    kept = recipe.kept(recipe.plan(told, 10_000, 64), text, image, measured)
    again = recipe.from_plan(kept)
    assert (again.text, again.image) == (text, image)
    assert (again.about, again.factory, again.build, again.floor) == (told.about, told.factory, told.build, told.floor)
    assert recipe.measured(kept) == measured
    assert recipe.filled(kept) == {"factory": "IVF128,PQ32x8", "nlist": 128, "train": 10_000}


@pytest.mark.parametrize(("count", "lists"), [(256, 6), (1000, 25), (10_000, 128), (200_000, 512), (1_000_000, 1024)])
def test_lists_grow_with_the_square_root_and_never_outnumber_the_vectors(count, lists):
    made = recipe.plan(recipe.parse(TEXT), count, 64)
    assert made.nlist == lists
    assert made.train <= count


def test_codes_divide_every_dimension():
    for dim in (1, 2, 3, 7, 64, 100, 384, 511, 512, 768, 1152):
        made = recipe.plan(recipe.load("opq-ivf-pq"), 10_000, dim)
        pieces = int(made.factory.split(",")[0].removeprefix("OPQ"))
        assert dim % pieces == 0
        index = ann.trained(
            made.factory,
            np.random.default_rng(0).standard_normal((2000, dim), np.float32),
            ann.Cells(np.random.default_rng(1).standard_normal((made.nlist, dim), np.float32)),
            1,
            None,
        )
        assert index.add(np.arange(10), np.ones((10, dim), np.float32)) > 0


def test_flat_builds_nothing_and_too_few_vectors_are_refused():
    with pytest.raises(RecipeError, match="builds nothing"):
        recipe.plan(recipe.load("flat"), 1000, 8)
    with pytest.raises(TooFewVectors, match="20 vectors"):
        recipe.plan(recipe.load("ivf-pq"), 20, 8)
