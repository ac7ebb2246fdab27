"""Right values that a small mistake in searching would change: trials and mistakes as in test_planted_defects.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pytest

import vsearch
from tests.planting import Trials, planted
from vsearch import recipe as recipes
from vsearch.ann import AnnIndex, Searchable
from vsearch.filters.engine import Codes
from vsearch.filters.schema import CODED
from vsearch.index import Index
from vsearch.recipe import SearchSettings

DIM, ROWS = 4, 304  # whole bytes of bitmaps
DEFECTS = Trials()
catches = DEFECTS.catches


def vectors(count: int, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@contextmanager
def indexed(place: Path) -> Iterator[Index]:
    """A FAISS index of some vectors, and nothing behind it."""
    with vsearch.create(place / "x.vsearch", encoder=f"external:v:{DIM}") as index:
        index.add_vectors([f"u{n}" for n in range(ROWS)], vectors(ROWS), {"n": list(range(ROWS))})
        index.build("ivf-flat")
        yield index


def nearest(index: Index, row: np.ndarray, k: int = 1) -> list[int]:
    ids: list[int] = index.search_vectors(row, k)[1][0].tolist()
    return ids


@catches(
    "the tail begins one id late",
    "vsearch.search.candidates:nearest",
    "selector.exact(xq, k, ann.upto)",
    "selector.exact(xq, k, ann.upto + 1)",
)
def the_first_picture_behind_the_index_is_found(place: Path) -> None:
    with indexed(place) as index:
        index.add_vectors(["new"], vectors(1, 7))
        assert nearest(index, vectors(1, 7)[0]) == [ROWS]


@catches(
    "a live picture of the tail makes up for a dead one of the index",
    "vsearch.ann.opened:AnnIndex._parameters",
    "int(np.bitwise_count(live[:whole]).sum(dtype=np.int64))",
    "int(np.bitwise_count(live).sum(dtype=np.int64))",
)
def a_dropped_picture_is_not_found_when_another_has_come(place: Path) -> None:
    with indexed(place) as index:
        index.remove([5])
        index.add_vectors(["new"], vectors(1, 7))
        assert 5 not in nearest(index, vectors(ROWS)[5], 3)


@catches(
    "search parameters are kept for another moment",
    "vsearch.ann.opened:AnnIndex._parameters",
    "if kept is not None and kept[0] is live:",
    "if kept is not None:",
)
def a_picture_dropped_between_two_searches_is_not_found(place: Path) -> None:
    with indexed(place) as index:
        assert nearest(index, vectors(ROWS)[5]) == [5]
        index.remove([5])
        assert 5 not in nearest(index, vectors(ROWS)[5], 3)


@catches(
    "leaving out a picture of the query takes it out for good",
    "vsearch.search.candidates:_without",
    "    live = live.copy()\n",
    "",
)
def a_picture_that_was_the_query_is_found_by_the_next(place: Path) -> None:
    with indexed(place) as index:
        index.search(vsearch.Query.like(5), 1)
        assert nearest(index, vectors(ROWS)[5]) == [5]
        assert len(index) == ROWS


@catches(
    "an older moment is filtered by the newer columns",
    "vsearch.filters.columns:Columns._current",
    "self._txn_id != snapshot.txn_id",
    "self._txn_id < snapshot.txn_id",
)
def a_filter_answers_as_of_the_moment_that_it_is_asked_about(place: Path) -> None:
    def matching(index: Index, snapshot: vsearch.store.Snapshot) -> list[int]:
        bitmap = index.columns.matching(snapshot, "n = 5 or n = 1000")
        return np.flatnonzero(np.unpackbits(bitmap, bitorder="little")).tolist()

    with indexed(place) as index, index.store.snapshot() as before:
        with vsearch.open(index.path) as other, other.store.snapshot() as same:
            index.add_vectors(["u5", "new"], vectors(2, 7), {"n": [6, 1000]})
            with other.store.snapshot() as after:
                assert matching(other, after) == [ROWS + 1]
            assert matching(other, same) == [5]
        assert matching(index, before) == [5]


@catches(
    "a query with too few answers is forgotten beside one with enough",
    "vsearch.search.candidates:nearest",
    "< 0).any():",
    "< 0).all():",
)
def each_of_several_queries_gets_k_answers(place: Path) -> None:
    rows = np.repeat(np.eye(DIM, dtype=np.float32)[:2], ROWS // 2, axis=0) + 0.01 * vectors(ROWS)
    lists = faiss.index_factory(DIM, "IVF2,Flat", faiss.METRIC_INNER_PRODUCT)
    lists.train(rows)
    lists.add_with_ids(rows, np.arange(ROWS))
    settings = SearchSettings(nprobe=1, rescore=1)
    recipe = dataclasses.replace(recipes.load("ivf-flat"), text=settings, image=settings)
    with vsearch.create(place / "x.vsearch", encoder=f"external:v:{DIM}") as index:
        index.add_vectors([f"u{n}" for n in range(ROWS)], rows)
        index.remove(range(2, ROWS // 2))  # of the first list two are left
        with index.store.snapshot() as snapshot:
            generation = Searchable(AnnIndex.of(lists, ROWS), recipe)
            ids = import_module("vsearch.search").nearest(
                snapshot, np.eye(DIM, dtype=np.float32)[:2], 4, "text", generation
            )[1]
    assert (ids >= 0).all() and set(ids[0, :2]) == {0, 1}


@catches(
    "codes of a column are read as those of the first block",
    "vsearch.filters.engine:Codes.__init__",
    "np.array(own, np.intp)",
    "np.arange(len(own))",
)
def blocks_that_number_their_values_otherwise_are_filtered_alike(_: Path) -> None:
    codes = Codes(pa.Table.from_batches(cameras([0, 1], "AB") + cameras([2, 3, 4], "BAC")), "camera")
    assert spread(codes) == {"A": [0, 3], "B": [1, 2], "C": [4]}


def cameras(ids: list[int], letters: str) -> list[pa.RecordBatch]:
    """A block of columns, whose values are numbered in the order in which they come."""
    coded = pa.array(list(letters)).dictionary_encode().cast(CODED)
    return [pa.record_batch({"id": pa.array(ids), "camera": coded})]


def spread(codes: Codes) -> dict[str, list[int]]:
    """Which ids have which value."""
    values = codes.values.column("camera").to_pylist()
    return {
        value: np.flatnonzero(codes.spread(np.arange(len(values)) == at, 9)).tolist() for at, value in enumerate(values)
    }


@catches(
    "codes are spread over ids that are gone",
    "vsearch.filters.engine:Codes.spread",
    "if last - first == len(ids):",
    "if True:",
)
def a_block_with_gaps_is_filtered_by_its_own_ids(_: Path) -> None:
    codes = Codes(pa.Table.from_batches(cameras([0, 3, 5, 6], "ABBA")), "camera")
    assert spread(codes) == {"A": [0, 6], "B": [3, 5]}


@catches(
    "a reader keeps the index that it has loaded",
    "vsearch.search.generations:Generations.of",
    "if last is not None and last.index.name == named.name:",
    "if last is not None:",
)
def a_reader_follows_an_index_that_grows(place: Path) -> None:
    with indexed(place) as index, vsearch.open(index.path) as reader:
        query = vsearch.Query(vectors(1, 7)[0])
        assert reader.explain(query, 5).indexed
        index.add_vectors(["new"], vectors(1, 7))
        assert not reader.explain(query, ROWS).indexed
        index.merge()
        assert reader.explain(query, ROWS).indexed


@pytest.mark.parametrize("name", DEFECTS)
def test_it_is_right(name: str, tmp_path: Path) -> None:
    DEFECTS[name][0](tmp_path)


@pytest.mark.parametrize("name", DEFECTS)
def test_the_planted_defect_shows(name: str, tmp_path: Path) -> None:
    trial, defect = DEFECTS[name]
    with planted(defect), pytest.raises((AssertionError, ValueError)):
        trial(tmp_path)
