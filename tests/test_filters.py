"""Filters against a plain loop over the same pictures, and against deletions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vsearch
from vsearch import recipe
from vsearch.build import Goal, build
from vsearch.errors import FilterError
from vsearch.index import Index
from vsearch.search import nearest
from vsearch.store import Batch

DIM, COUNT = 16, 600
CAMERAS = ["Canon EOS 5D", "Canon IXUS", "Nikon D90", "Apple iPhone 12", None]
ROWS: list[dict[str, Any]] = [
    {
        "id": i,
        "folder": ["trips/rome/", "trips/", "home/", ""][i % 4],
        "name": f"IMG_{i:04d}.{['jpg', 'PNG'][i % 2]}",
        "width": None if i % 7 == 0 else 500 + 13 * i % 3000,
        "camera": CAMERAS[i % 5],
        "taken": None if i % 11 == 0 else datetime(2020 + i % 5, 1 + i % 12, 1 + i % 28, i % 24, 30),
        "iso": None if i % 3 == 0 else 100 * (1 + i % 16),
        "latitude": None if i % 2 else -90 + i * 180 / COUNT,
        "rating": i % 6,
        "note": None if i % 4 == 0 else f"note {i % 9}",
        "tags": [("dog", 0.9)] * (i % 3 == 0) + [("cat", i / COUNT)] * (i % 5 == 0),
    }
    for i in range(COUNT)
]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    xb = np.random.default_rng(0).standard_normal((COUNT, DIM)).astype(np.float32)
    return xb / np.linalg.norm(xb, axis=1, keepdims=True)


@pytest.fixture
def index(tmp_path: Path, vectors: np.ndarray) -> Iterator[Index]:
    with filled(tmp_path / "f.vsearch", vectors) as index:
        yield index


def filled(place: Path, vectors: np.ndarray) -> Index:
    index = vsearch.create(place, encoder=f"external:test:{DIM}")
    columns = {name: [row[name] for row in ROWS] for name in ("width", "camera", "iso", "latitude", "rating", "note")}
    columns["taken"] = [row["taken"].isoformat() if row["taken"] else None for row in ROWS]
    index.store.commit(Batch(roots=(b"/photos",)))
    index.add_vectors([f"/photos/{row['folder']}{row['name']}" for row in ROWS], vectors, columns)
    index.store.commit(Batch(tags={row["id"]: tuple(row["tags"]) for row in ROWS if row["tags"]}))
    return index


def passing(index: Index, where: str) -> set[int]:
    """All pictures that a filter lets through, by way of a search."""
    _, ids = index.search_vectors(np.eye(1, DIM, dtype=np.float32), COUNT, where=where)
    return set(ids[ids >= 0].tolist())


def has(row: dict[str, Any], name: str, least: float = 0.0) -> bool:
    return any(tag == name and np.float32(confidence) >= least for tag, confidence in row["tags"])


def known(row: dict[str, Any], *names: str) -> bool:
    return all(row[name] is not None for name in names)


Holds = Callable[[dict[str, Any]], bool]
CONDITIONS: dict[str, Holds] = {
    "width >= 2000": lambda r: known(r, "width") and r["width"] >= 2000,
    "not width >= 2000": lambda r: known(r, "width") and r["width"] < 2000,
    "width is null": lambda r: r["width"] is None,
    "camera like 'Canon%'": lambda r: known(r, "camera") and r["camera"].startswith("Canon"),
    "camera not like 'Canon%'": lambda r: known(r, "camera") and not r["camera"].startswith("Canon"),
    "camera ilike '%iphone%'": lambda r: known(r, "camera") and "iphone" in r["camera"].lower(),
    "camera is null": lambda r: r["camera"] is None,
    "camera is not null and camera <> 'Nikon D90'": lambda r: known(r, "camera") and r["camera"] != "Nikon D90",
    "camera in ('Nikon D90', 'Canon IXUS')": lambda r: r["camera"] in ("Nikon D90", "Canon IXUS"),
    "CAMERA = 'Nikon D90'": lambda r: r["camera"] == "Nikon D90",
    "coalesce(camera, 'none') = 'none'": lambda r: r["camera"] is None,
    "lower(camera) = 'nikon d90' or iso = 200": lambda r: r["camera"] == "Nikon D90" or r["iso"] == 200,
    "folder like 'trips/%'": lambda r: r["folder"].startswith("trips/"),
    "folder = '' and ext = 'png'": lambda r: r["folder"] == "" and r["name"].endswith("PNG"),
    "folder = '' and camera like 'C%' and folder <> 'x'": lambda r: (
        r["folder"] == "" and known(r, "camera") and r["camera"].startswith("C")
    ),
    "name glob 'IMG_00?[13579].PNG'": lambda r: fnmatch(r["name"], "IMG_00?[13579].PNG"),
    "name like '%7.jpg'": lambda r: r["name"].endswith("7.jpg"),
    "regexp_matches(name, '^IMG_00[12]')": lambda r: r["name"].startswith(("IMG_001", "IMG_002")),
    "taken >= '2024-01-01'": lambda r: known(r, "taken") and r["taken"] >= datetime(2024, 1, 1),
    "taken between '2021-03-01' and timestamp '2022-06-15 12:00'": lambda r: (
        known(r, "taken") and datetime(2021, 3, 1) <= r["taken"] <= datetime(2022, 6, 15, 12)
    ),
    "year(taken) = 2022 and month(taken) in (6, 7)": lambda r: (
        known(r, "taken") and r["taken"].year == 2022 and r["taken"].month in (6, 7)
    ),
    "taken < today() - interval 1 year or taken is null": lambda r: True,
    "iso * 2 > width": lambda r: known(r, "iso", "width") and r["iso"] * 2 > r["width"],
    "latitude between -10 and 10.5": lambda r: known(r, "latitude") and -10 <= r["latitude"] <= 10.5,
    "rating % 2 = 1": lambda r: r["rating"] % 2 == 1,
    "note = 'note 3'": lambda r: r["note"] == "note 3",
    "has_tag('dog')": lambda r: has(r, "dog"),
    "not has_tag('dog')": lambda r: not has(r, "dog"),
    "has_tag('cat', 0.5)": lambda r: has(r, "cat", 0.5),
    "tag_confidence('cat') >= 0.5 and not has_tag('dog')": lambda r: has(r, "cat", 0.5) and not has(r, "dog"),
    "list_contains(tags, 'cat')": lambda r: has(r, "cat"),
    "len(tags) = 2": lambda r: len(r["tags"]) == 2,
    "case when width > 2000 then iso > 800 else rating = 1 end": lambda r: (
        known(r, "iso") and r["iso"] > 800 if known(r, "width") and r["width"] > 2000 else r["rating"] == 1
    ),
    "true": lambda r: True,
    "id = 1 or false": lambda r: r["id"] == 1,
    "1 = 2": lambda r: False,
    "taken >= '2024-01-01' and folder like 'trips/%' and width >= 2000 and camera like 'Canon%'": lambda r: (
        known(r, "taken", "width", "camera")
        and r["taken"] >= datetime(2024, 1, 1)
        and r["folder"].startswith("trips/")
        and r["width"] >= 2000
        and r["camera"].startswith("Canon")
    ),
}


def test_a_filter_lets_through_what_a_plain_loop_does(index: Index):
    for where, holds in CONDITIONS.items():
        assert passing(index, where) == {row["id"] for row in ROWS if holds(row)}, where


def test_a_filter_lets_through_the_same_however_few_rows_are_evaluated_at_once(
    index: Index, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("vsearch.filters.growth.VECTOR", 7)
    for where, holds in CONDITIONS.items():
        assert passing(index, where) == {row["id"] for row in ROWS if holds(row)}, where


def test_results_are_those_of_exact_search_over_the_subset(index: Index, vectors: np.ndarray):
    stored = vectors.astype(np.float16).astype(np.float32)
    xq = np.random.default_rng(3).standard_normal((5, DIM)).astype(np.float32)
    xq /= np.linalg.norm(xq, axis=1, keepdims=True)
    for where, holds in CONDITIONS.items():
        allowed = np.array([row["id"] for row in ROWS if holds(row)], np.int64)
        scores, ids = index.search_vectors(xq, 7, where=where)
        expected = xq @ stored[allowed].T
        order = np.argsort(-expected, axis=1, kind="stable")[:, :7]
        assert ids[:, : order.shape[1]].tolist() == allowed[order].tolist(), where
        np.testing.assert_allclose(
            scores[:, : order.shape[1]], np.take_along_axis(expected, order, 1), rtol=0, atol=1e-6
        )
        assert (ids[:, order.shape[1] :] == -1).all()


leaf = st.sampled_from(sorted(CONDITIONS))
trees = st.recursive(
    leaf.map(lambda where: (f"({where})", CONDITIONS[where])),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda p: (f"({p[0][0]} and {p[1][0]})", lambda r: p[0][1](r) and p[1][1](r))),
        st.tuples(inner, inner).map(lambda p: (f"({p[0][0]} or {p[1][0]})", lambda r: p[0][1](r) or p[1][1](r))),
    ),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory, vectors: np.ndarray) -> Iterator[Index]:
    with filled(tmp_path_factory.mktemp("changing") / "f.vsearch", vectors) as index:
        yield index


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees, dropped=st.sets(st.integers(0, COUNT - 1), max_size=12))
def test_filters_commute_with_deletions(changing: Index, tree: tuple[str, Holds], dropped: set[int]):
    """Filtering what is left, and leaving out of the filtered what was deleted, are the same; so are their orders."""
    where, holds = tree
    there = {row["id"] for row in ROWS} & passing(changing, "true")
    expected = {row["id"] for row in ROWS if holds(row)} & there
    assert passing(changing, where) == expected
    if len(there) > COUNT // 4:
        changing.remove(sorted(dropped))
        assert passing(changing, where) == expected - dropped


CLUSTERED, WIDE = 20_000, 128  # enough that what passes is searched by the index, for all shares but the last


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Index, np.ndarray, np.ndarray]]:
    """An index with lists, the vectors as stored, and the cluster of each: 40 subjects."""
    rng = np.random.default_rng(7)
    centres, cluster = rng.standard_normal((40, WIDE)), rng.integers(0, 40, CLUSTERED)
    xb = (centres[cluster] + 0.6 * rng.standard_normal((CLUSTERED, WIDE))).astype(np.float32)
    xb /= np.linalg.norm(xb, axis=1, keepdims=True)
    with vsearch.create(tmp_path_factory.mktemp("listed") / "i.vsearch", encoder=f"external:test:{WIDE}") as index:
        index.add_vectors([f"/p/{i}" for i in range(CLUSTERED)], xb)
        build(index.store, recipe.parse(LISTS), Goal())
        yield index, xb.astype(np.float16).astype(np.float32), cluster


Chosen = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
FILTERS: dict[str, Chosen] = {
    **{
        f"{share:g} at random": lambda clusters, own, rng, share=share: rng.random(len(clusters)) < share
        for share in (1.0, 0.9, 0.5, 0.25, 0.01)
    },
    "all but the own subject": lambda clusters, own, rng: clusters != own,
    "half of the subjects, not the own": lambda clusters, own, rng: clusters % 2 != own % 2,
    "ten other subjects": lambda clusters, own, rng: np.isin(clusters, (own + np.arange(1, 11)) % 40),
    "one other subject": lambda clusters, own, rng: clusters == (own + 1) % 40,
}


@pytest.mark.parametrize("name", FILTERS)
def test_an_index_answers_filters_fully_and_nearly_exactly(listed, name: str):
    index, xb, clusters = listed
    rng, k, found = np.random.default_rng(8), 10, 0
    own = rng.choice(CLUSTERED, 20, replace=False)
    with index.store.snapshot() as snapshot:
        generation = index._searcher.generations.of(snapshot)
        assert generation is not None
        for query, cluster in zip(xb[own], clusters[own].tolist(), strict=True):
            chosen = FILTERS[name](clusters, cluster, rng)
            bitmap = np.packbits(np.pad(chosen, (0, len(snapshot.live) * 8 - CLUSTERED)), bitorder="little")
            _, ids = nearest(snapshot, query[None], k, "image", generation, allowed=bitmap)
            assert chosen[ids[0]].all() and len(set(ids[0].tolist())) == k
            best = np.argsort(-np.where(chosen, xb @ query, -np.inf), kind="stable")[:k]
            found += len(set(best.tolist()) & set(ids[0].tolist()))
    assert found / (k * len(own)) >= 0.95


LISTS = """
name = "lists"
kind = "faiss"
factory = "IVF{nlist},SQ8"
[build]
lists_per_sqrt = 1.0
train_per_list = 64
dims_per_byte = 8
seed = 1
[search.text]
nprobe = 8
rescore = 4
[search.image]
nprobe = 8
rescore = 4
"""


@pytest.mark.parametrize(
    ("where", "position", "told"),
    [
        ("camra = 'x'", 0, "no column 'camra'; did you mean 'camera'"),
        ("width > 3 and higth > 2", 14, "did you mean 'height'"),
        ("caption = 'é' and ünknown = 1", 18, "columns: id, taken"),
        ("width >", 7, "syntax error"),
        ("width > 'abc'", 0, "abc"),
        ("iso > 1 and taken >= 'the 3rd'", 12, "the 3rd"),
        ("read_text('/etc/passwd') = ''", 0, "no function 'read_text'"),
        ("width > (select 1)", 8, "a query of its own"),
        ("", 0, "empty filter"),
    ],
)
def test_an_error_points_at_the_place(index: Index, where: str, position: int, told: str):
    with pytest.raises(FilterError, match=told) as caught:
        index.search_vectors(np.eye(1, DIM, dtype=np.float32), where=where)
    assert caught.value.position == position


def test_a_filter_is_a_text(index: Index):
    with pytest.raises(FilterError, match="a filter is a text"):
        index.search_vectors(np.eye(1, DIM, dtype=np.float32), where=5)
