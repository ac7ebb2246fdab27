"""The door of the library: whatever is given to a public call, it answers, or raises a VsearchError."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vsearch
from tests.small_clip import save_model
from vsearch import Box, Crop, Part, Query, VsearchError
from vsearch.embed.minilm import MiniLM
from vsearch.errors import EncoderError, QueryError, SourceError
from vsearch.index import Index
from vsearch.sources import as_source


class Hostile:
    """An object that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


VALUES: dict[str, Any] = {
    "none": None,
    "true": True,
    "minus": -1,
    "beyond 64 bits": 1 << 70,
    "5000 digits": 10**5000,
    "half": 0.5,
    "nan": float("nan"),
    "infinite": float("-inf"),
    "empty": "",
    "word": "products",
    "surrogate": "caf\udce9",
    "lone surrogate": "\ud800",
    "zero byte": "a\0b",
    "long": "x" * 70_000,
    "bytes": b"caf\xe9",
    "address": "https://example.org/a.jpg",
    "list": [],
    "list of texts": ["a", "b"],
    "list of paths": ["a.jpg"],
    "list of none": [None],
    "list of ids": [-1, 1 << 70],
    "tuple": (9, "a"),
    "mapping": {"a": 1},
    "object": object(),
    "hostile": Hostile(),
    "function": lambda: None,
    "path": Path("nowhere.jpg"),
    "zero byte path": Path("a\0b"),
    "number of numpy": np.int64(-3),
    "vector": np.ones(3, np.float32),
    "zeros": np.zeros(64, np.float32),
    "vectors": np.full((2, 64), np.nan, np.float32),
    "texts of numpy": np.array(["a", "b"]),
    "objects of numpy": np.array([None, "a"], object),
    "dates of numpy": np.array(["2024-01-01"], "datetime64[D]"),
    "complex of numpy": np.ones(64, complex),
    "scalar of numpy": np.float32(1),
    "picture": Image.new("L", (1, 1)),
    "part": Part("red", 0.0),
    "query": Query([1], {}),
    "crop": Crop("a.jpg", Box(0, 0, 1, 1)),
    "crop of nothing": Crop(Image.new("RGB", (4, 4)), Box(float("nan"), 0, -1, 1)),
    "crop without box": Crop(Image.new("RGB", (4, 4)), "middle"),
}

Call = Callable[[Index, Any], Any]
CALLS: dict[str, Call] = {
    "search": lambda index, value: list(index.search(value)),
    "search k": lambda index, value: list(index.search("red", value)),
    "search weight": lambda index, value: list(index.search(Query(Part("red", value)))),
    "search like": lambda index, value: list(index.search(Query.like(value))),
    "search modality": lambda index, value: list(index.search("red", modality=value)),
    "search target": lambda index, value: list(index.search("red", target=value)),
    "search where": lambda index, value: list(index.search("red", where=value)),
    "search offset": lambda index, value: list(index.search("red", offset=value)),
    "search more": lambda index, value: list(index.search("red", more=value)),
    "search less": lambda index, value: list(index.search("red", less=value)),
    "search min_confidence": lambda index, value: list(index.search("red", min_confidence=value)),
    "pages": lambda index, value: list(index.pages(value)),
    "pages page": lambda index, value: list(index.pages("red", value)),
    "pages where": lambda index, value: list(index.pages("red", where=value)),
    "search_vectors": lambda index, value: index.search_vectors(value),
    "search_vectors k": lambda index, value: index.search_vectors(np.ones((1, 64)), value),
    "search_vectors modality": lambda index, value: index.search_vectors(np.ones((1, 64)), modality=value),
    "explain": lambda index, value: index.explain(value, 0),
    "explain id": lambda index, value: index.explain("red", value),
    "explain k": lambda index, value: index.explain("red", 0, value),
    "describe": lambda index, value: index.describe(value),
    "describe k": lambda index, value: index.describe("red", value),
    "classifier": lambda index, value: index.classifier(value),
    "classifier templates": lambda index, value: index.classifier(["a", "b"], templates=value),
    "classifier temperature": lambda index, value: index.classifier(["a", "b"], temperature=value),
    "classify": lambda index, value: index.classify(value, ["red", "blue"]),
    "classify labels": lambda index, value: index.classify("red", value),
    "classify top": lambda index, value: index.classify("red", ["red", "blue"], top=value),
    "tag": lambda index, value: index.tag(value),
    "tag min_confidence": lambda index, value: index.tag(["red", "blue"], min_confidence=value),
    "tag top": lambda index, value: index.tag(["red", "blue"], top=value),
    "add": lambda index, value: index.add(value),
    "add_vectors uris": lambda index, value: index.add_vectors(value, np.zeros((1, 64), np.float32)),
    "add_vectors vectors": lambda index, value: index.add_vectors(["u"], value),
    "add_vectors meta": lambda index, value: index.add_vectors(["u"], np.zeros((1, 64), np.float32), value),
    "add_vectors column": lambda index, value: index.add_vectors(["u"], np.zeros((1, 64), np.float32), {"c": value}),
    "add_embedded": lambda index, value: index.add_embedded(value),
    "remove": lambda index, value: index.remove(value),
    "build": lambda index, value: index.build(value),
    "build recall": lambda index, value: index.build(recall=value),
    "build memory": lambda index, value: index.build(memory=value),
    "build latency": lambda index, value: index.build(latency=value),
    "build text_queries": lambda index, value: index.build("flat", text_queries=value),
    "change_encoder": lambda index, value: index.change_encoder(value),
    "use_space": lambda index, value: index.use_space(value),
    "remove_space": lambda index, value: index.remove_space(value),
    "duplicates keep": lambda index, value: index.duplicates(keep=value, near=False),
    "duplicates threshold": lambda index, value: index.duplicates(threshold=value, near=False),
    "move_duplicates": lambda index, value: index.move_duplicates(value, "out"),
    "export_clip_retrieval where": lambda index, value: index.export_clip_retrieval("cr", where=value),
    "encode_texts": lambda index, value: index.encoder.encode_texts(value),
    "encode_images": lambda index, value: index.encoder.encode_images(value),
    "create encoder": lambda index, value: vsearch.create("other.vsearch", value).close(),
    "open": lambda index, value: vsearch.open(value),
    "open encoder": lambda index, value: vsearch.open(index.path, encoder=value),
    "load_encoder": lambda index, value: vsearch.load_encoder(value),
    "folder": lambda index, value: list(vsearch.folder(value)),
    "folder every": lambda index, value: list(vsearch.folder(".", every=value)),
    "pictures": lambda index, value: list(vsearch.pictures(value)),
    "listing": lambda index, value: list(vsearch.listing(value)),
    "archive": lambda index, value: list(vsearch.archive(value)),
    "table": lambda index, value: list(vsearch.table(value)),
    "table path_column": lambda index, value: list(vsearch.table("t.csv", path_column=value)),
    "table caption_column": lambda index, value: list(vsearch.table("t.csv", caption_column=value)),
    "table separator": lambda index, value: list(vsearch.table("t.csv", separator=value)),
    "img2dataset": lambda index, value: list(vsearch.img2dataset(value)),
    "clip_retrieval": lambda index, value: vsearch.clip_retrieval(value),
    "vector_file": lambda index, value: vsearch.vector_file(value),
    "vector_file meta": lambda index, value: vsearch.vector_file("v.npy", meta=value),
    "merge": lambda index, value: vsearch.merge("merged.vsearch", value),
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """An index of three pictures, in a current folder with a table and a file of vectors."""
    place, before = tmp_path_factory.mktemp("door"), Path.cwd()
    os.chdir(place)
    try:
        for name in ("red", "green", "blue"):
            Image.new("RGB", (16, 16), name).save(f"{name}.png")
        Path("t.csv").write_text("filepath,title\nred.png,a red square\n")
        np.save("v.npy", np.eye(3, 64, dtype=np.float32))
        with vsearch.create("i.vsearch", "toy") as index:
            index.add(vsearch.pictures(["red.png", "green.png", "blue.png"]))
            yield index
    finally:
        os.chdir(before)


@pytest.mark.parametrize("call", CALLS)
def test_whatever_is_given_a_call_answers_or_raises_an_error_of_ours(opened, call):
    foreign = {}
    for name, value in VALUES.items():
        try:
            CALLS[call](opened, value)
        except VsearchError:
            continue
        except BaseException as error:  # noqa: BLE001 - all of them are what is looked for
            foreign[name] = f"{type(error).__name__}: {str(error)[:100]}"
    assert foreign == {}
    assert {hit.path.name for hit in opened.search("red")} == {"red.png", "green.png", "blue.png"}


def paths(source: Any) -> list[bytes]:
    return [item.path for item in source]


def test_a_path_or_a_list_of_paths_is_taken_for_what_it_is(photos):
    table = photos.parent / "t.csv"
    table.write_text(f"filepath,title\n{photos}/red.png,a red square\n")
    whole = sorted(os.fsencode(os.path.join(*at)) for at in _files(photos) if at[1].endswith(".png"))
    assert sorted(paths(as_source(str(photos)))) == whole == sorted(paths(as_source(photos)))
    assert sorted(paths(as_source(os.fsencode(photos)))) == whole
    assert paths(as_source([table, photos / "green.png"])) == [whole_of(photos, "red"), whole_of(photos, "green")]
    source = vsearch.folder(photos)
    assert as_source(source) is source


def _files(photos: Path) -> list[tuple[str, str]]:
    return [(folder, name) for folder, _, names in os.walk(photos) for name in names]


def whole_of(photos: Path, name: str) -> bytes:
    return os.fsencode(photos / f"{name}.png")


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda index: index.add("products"), SourceError, "no folder or file 'products'"),
        (lambda index: index.add(7), SourceError, "as a source"),
        (lambda index: index.add("https://example.org/photos"), SourceError, "vsearch fetch"),
        (lambda index: vsearch.folder("s3://bucket/photos"), SourceError, "vsearch fetch"),
        (lambda index: vsearch.pictures("a.jpg"), SourceError, "as a list"),
        (lambda index: index.remove([2.5]), QueryError, "2.5.*whole number"),
        (lambda index: index.remove(12), QueryError, "list of ids or paths"),
        (lambda index: index.search(["a", "b"]), QueryError, "several of them together"),
        (lambda index: index.search("red", target="picture"), QueryError, "one of: pictures, captions"),
        (lambda index: index.search("red", 2.5), QueryError, "whole number"),
        (lambda index: index.search(Query.like(1 << 70)), QueryError, "no picture has the id 1180591620717411303424"),
        (lambda index: index.search(Query.like(-1)), QueryError, "no picture has the id -1"),
        (lambda index: index.search("red", more=[1 << 64]), QueryError, "no picture has the id"),
        (lambda index: index.classify("red", "dog"), QueryError, "labels are given as a list"),
        (lambda index: index.encoder.encode_images(["a.jpg"]), EncoderError, "files are read by Index.add"),
    ],
)
def test_what_is_meant_otherwise_is_refused_in_words(opened, call, error, message):
    with pytest.raises(error, match=message):
        call(opened)


def test_ids_that_no_picture_has_are_not_there(opened):
    assert opened.remove([-1, 1 << 33, 1 << 63, 1 << 70, np.int64(-5)]) == 0
    assert len(opened) == 3


def test_names_that_no_picture_has_are_not_there(opened):
    assert opened.remove(["SKU", "/nowhere/a.jpg", b"x"]) == opened.remove("12") == 0
    assert len(opened) == 3


def test_an_id_twice_is_one_picture(index):
    assert index.remove([0, np.int64(0), 0]) == 1


def test_an_address_in_a_table_or_a_list_is_a_failure_of_its_own(tmp_path, photos):
    table = tmp_path / "t.csv"
    table.write_text(f"filepath\nhttps://example.org/a.jpg\n{photos}/red.png\n")
    listed = [*vsearch.table(table, caption_column=""), *vsearch.pictures(["s3://b/c.jpg", photos / "green.png"])]
    first, red, second, green = listed
    assert (first.path, second.path) == (b"https://example.org/a.jpg", b"s3://b/c.jpg")
    assert "vsearch fetch" in first.reason and "vsearch fetch" in second.reason
    assert (red.path, green.path) == (whole_of(photos, "red"), whole_of(photos, "green"))


@pytest.fixture(scope="module", params=["toy", "mini", "mini:untrained", "model of open_clip"])
def encode(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """The text tower of each kind of encoder."""
    if request.param == "model of open_clip":
        return vsearch.load_encoder(str(save_model(tmp_path_factory.mktemp("clip")))).encode_texts
    return vsearch.load_encoder(request.param).encode_texts


@pytest.mark.parametrize("texts", ["a dog", b"a dog", ["a dog", None], ["caf\udce9"], ["\ud800"], 5, [b"dog"], [["a"]]])
def test_no_encoder_takes_a_single_text_or_what_is_none(encode, texts):
    with pytest.raises(EncoderError, match="text"):
        encode(texts)


def test_texts_are_embedded_one_row_each_whatever_holds_them(encode):
    rows = encode(["a dog", "Caf\u00e9 \U0001f415"])
    np.testing.assert_array_equal(encode(("a dog", "Caf\u00e9 \U0001f415")), rows)
    assert rows.shape[0] == 2 and encode([]).shape == (0, rows.shape[1])


def test_tokens_of_texts_that_are_none_are_refused():
    with pytest.raises(EncoderError):
        MiniLM().encode_tokens(["caf\udce9"])


@pytest.mark.parametrize("words", [["query", b"caf\xe9"], ["query", "red", "--not", b"caf\xe9"]])
def test_a_text_of_other_bytes_is_an_error_and_not_nothing_found(opened, words):
    program = [sys.executable, "-m", "vsearch", *words, "--index", str(opened.path)]
    done = subprocess.run(program, capture_output=True)
    assert done.returncode == 2 and b"UTF-8 cannot hold" in done.stderr and b"Traceback" not in done.stderr
