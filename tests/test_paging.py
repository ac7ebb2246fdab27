"""Pages: by offset, and by a cursor that pictures added and removed do not shift."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

import vsearch
from vsearch import recipe
from vsearch.build import Goal, build
from vsearch.errors import QueryError
from vsearch.index import Index
from vsearch.search.ranking import older, ranked
from vsearch.search.ranking import page as cut
from vsearch.types import Part, Query

DIM, COUNT = 64, 3000
RECIPE = """
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
rescore = 2
[search.image]
nprobe = 8
rescore = 2
"""


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(params=["exact", "lists"])
def index(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    monkeypatch.setattr("vsearch.search.candidates.FEW", 0)  # so that the index is asked, small as this is
    xb = unit(np.random.default_rng(0).standard_normal((COUNT, DIM)))
    with vsearch.create(tmp_path / "p", encoder=f"external:test:{DIM}") as index:
        index.add_vectors([f"/p/{i}" for i in range(COUNT)], xb, {"even": [i % 2 == 0 for i in range(COUNT)]})
        if request.param == "lists":
            build(index.store, recipe.parse(RECIPE), Goal())
        yield index


QUERY = Query(Part(unit(np.ones((1, DIM)))[0]))


def best(index: Index) -> list[int]:
    """All ids by exact score, best first, ties by lower id."""
    with index.store.snapshot() as snapshot:
        ids = snapshot.live_ids()
        scores = snapshot.vectors(ids) @ unit(np.ones((1, DIM)))[0]
    return ids[np.lexsort((ids, -scores))].tolist()


def test_windows_of_one_size_fit_together(index: Index):
    pages = [index.search(QUERY, 10, offset=at) for at in range(0, 200, 10)]
    shown = [hit.id for page in pages for hit in page]
    assert len(shown) == len(set(shown)) == 200
    assert [hit.rank for page in pages for hit in page] == list(range(1, 201))
    assert [hit.id for hit in index.search(QUERY, 10)] == shown[:10]
    assert [hit.id for hit in index.search(QUERY, 10, offset=35)] == shown[35:45]
    assert len(set(shown) & set(best(index)[:200])) >= 190
    if index.info()["index"] == "exact":
        assert shown == best(index)[:200]


def test_offsets_end_with_the_pictures(index: Index):
    assert len(index.search(QUERY, 10, offset=COUNT - 4)) == 4
    assert index.search(QUERY, 10, offset=COUNT) == []
    assert len(index.search(QUERY, 10, where="even", offset=COUNT // 2 - 3)) == 3
    for k, offset in ((10, -1), (10, 99_995), (0, 0)):
        with pytest.raises(QueryError):
            index.search(QUERY, k, offset=offset)
    with pytest.raises(QueryError):
        index.pages(QUERY, 0)


def test_pages_do_not_shift(index: Index):
    before = best(index)
    pages = index.pages(QUERY, 25)
    first, second = next(pages), next(pages)
    # The very best that there can be comes in, and what was shown, and what was not yet, go.
    index.add_vectors([f"/new/{i}" for i in range(50)], np.ones((50, DIM), np.float32))
    gone = [hit.id for hit in first[:10]] + before[60:70]
    index.remove(gone)
    rest = list(pages)
    shown = [hit.id for hit in chain(first, second, *rest)]
    assert len(shown) == len(set(shown))
    assert max(shown) < COUNT
    assert set(shown) == set(range(COUNT)) - (set(before[60:70]) - {hit.id for hit in (*first, *second)})
    assert [hit.rank for hit in chain(first, second, *rest)] == list(range(1, len(shown) + 1))
    assert all(len(page) == 25 for page in (first, second, *rest[:-1]))
    for page in rest:
        assert [hit.score for hit in page] == sorted((hit.score for hit in page), reverse=True)


def test_a_query_is_looked_at_before_the_first_page(index: Index):
    with pytest.raises(QueryError):
        index.pages("")
    with pytest.raises(QueryError):
        index.pages(QUERY, more=[COUNT])


def test_pictures_marked_as_right_may_go_between_pages(index: Index):
    alone = [hit.id for hit in chain(*index.pages(QUERY, 50, more=[7], less=[8], where="id < 200"))]
    pages = index.pages(QUERY, 50, more=[7], less=[8], where="id < 200")
    first = next(pages)
    index.remove([7, 8])
    shown = [hit.id for hit in chain(first, *pages)]
    assert [id for id in shown if id != 7] == [id for id in alone if id != 7]


def test_pages_of_a_filter(index: Index):
    shown = [hit.id for page in index.pages(QUERY, 100, where="even and id < 1000") for hit in page]
    assert sorted(shown) == list(range(0, 1000, 2))


def test_readers_that_stop_scrolling_take_no_place_from_others(index: Index):
    """LMDB has 512 places for readers; whoever holds an iterator and waits has none of them."""
    waiting = [index.pages(QUERY, 5) for _ in range(600)]
    first = [[hit.id for hit in next(pages)] for pages in waiting]
    assert first == [[hit.id for hit in index.search(QUERY, 5)]] * 600
    assert [hit.rank for hit in next(waiting[0])] == [6, 7, 8, 9, 10]


def test_each_step_asks_for_little(index: Index):
    """A page far down costs few searches, none of which wants more than there was before."""
    wanted = []

    def nearest(count: int, hidden: frozenset[int]) -> tuple[np.ndarray, np.ndarray]:
        wanted.append(count)
        ids = np.array([i for i in range(COUNT) if i not in hidden][:count])
        return -ids / COUNT, ids

    with index.store.snapshot() as snapshot:
        matches = cut(ranked(snapshot, 10, nearest), 10, 400)
    assert [match.id for match in matches] == list(range(400, 410))
    assert wanted == [10, 10, 20, 40, 80, 160, 320]


@pytest.mark.parametrize("watermark", [0, 1, 7, 8, 9, 15, 16, 100])
def test_older(watermark: int):
    told = np.unpackbits(older(np.full(2, 0b10111011, np.uint8), watermark), bitorder="little")
    full = np.unpackbits(np.full(2, 0b10111011, np.uint8), bitorder="little")
    assert told.tolist() == [bit if i < watermark else 0 for i, bit in enumerate(full.tolist())]
