"""Every command that reads, and every read call of ``Index``, on an index of every recipe; exact search is the truth.

All that an index is asked is asked in a fork, which alone dies of a segmentation fault.
"""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import COLOURS
from forked import call
from PIL import Image
from serving import serving

import vsearch
from tests.reading_calls import CHANGING, COMMANDS, ELSEWHERE, OTHER_COMMANDS, READS
from vsearch import recipe
from vsearch.cli.app import app
from vsearch.index import Index

RECIPES = [name for name in recipe.names() if name != "flat"]
ROWS = 300  # vectors beside the pictures: books of 256 codes need so many

OF_THE_RECIPE = {"Index.path", "Index.store", "info", "eval", "explain"}
"""What names the place, or says more of the recipe than of the collection: tested by itself."""


def unit(n: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, 64)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An index of each recipe, by name, over the same pictures and vectors; one file is there twice."""
    place = tmp_path_factory.mktemp("recipes")
    (place / "photos").mkdir()
    for name in ("red", "blue", "green", "again"):
        picture = Image.new("RGB", (40, 30), COLOURS[name.replace("again", "blue")])
        picture.save(place / "photos" / f"{name}.png")
    (place / "photos" / "red.txt").write_text("a red square\n")
    with vsearch.create(place / "flat.vsearch", encoder="toy") as index:
        index.add_vectors([f"u{n}" for n in range(ROWS)], unit(ROWS, 1))
        index.add(vsearch.folder(place / "photos"))
    for name in RECIPES:
        shutil.copytree(place / "flat.vsearch", place / f"{name}.vsearch")
        with vsearch.open(place / f"{name}.vsearch", write=True) as index:
            index.build(name, text_queries=unit(1000, 2))
    return {name: place / f"{name}.vsearch" for name in ("flat", *RECIPES)}


@cache
def answers(index: Path) -> dict[str, Any]:
    """What every call and every command that reads answers of an index, by name."""
    out = index.with_suffix(".out")
    out.mkdir()
    ended = call("tests.reading_calls:answers", place=str(index), out=str(out))
    assert ended.ok, f"{(out / 'now').read_text()}: {ended}"
    told: dict[str, Any] = ended.value
    return told


def test_every_command_and_every_call_is_in_a_list():
    assert {*COMMANDS, *OTHER_COMMANDS} == set(app.commands)
    public = {name for name in dir(Index) if not name.startswith("_")}
    assert {*READS, *CHANGING, *ELSEWHERE} == public | {"columns"}


@pytest.mark.parametrize("name", RECIPES)
def test_all_that_reads_answers_as_exact_search_does(indexes: dict[str, Path], name: str):
    told, truth = answers(indexes[name]), answers(indexes["flat"])
    for asked in told.keys() - OF_THE_RECIPE:
        assert told[asked] == truth[asked], asked
    assert truth["query"].endswith("PHOTOS/red.png\n") and truth["Index.explain"] == [1, 1, 1.0]


@pytest.mark.parametrize("name", RECIPES)
def test_explain_info_and_eval_tell_of_the_recipe(indexes: dict[str, Path], name: str):
    told, truth = answers(indexes[name]), answers(indexes["flat"])
    explained, exact = json.loads(told["explain"]), json.loads(truth["explain"])
    assert [explained[key] for key in ("score", "exact_rank")] == [exact[key] for key in ("score", "exact_rank")]
    assert explained["indexed"] and not exact["indexed"]
    lists = "IVF" in recipe.load(name).factory
    assert (explained["cell"] is not None) == (explained["code_error"] is not None) == lists
    assert not lists or 0 <= explained["code_error"] < 1
    info = json.loads(told["info"])
    assert (info["index"], info["indexed"], info["images"]) == (name, ROWS + 4, ROWS + 4)
    assert json.loads(told["eval"])["text"]["recall@10"] > 0.8


@pytest.mark.parametrize("name", RECIPES)
def test_the_server_answers_from_it(indexes: dict[str, Path], name: str):
    with serving(indexes[name]) as client:
        hits = client.search(parts=[{"text": "red"}], k=1)["hits"]
    assert [(hit["name"], round(hit["score"], 4)) for hit in hits] == [("red.png", 1.0)]
