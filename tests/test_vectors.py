"""Vectors that were made elsewhere: what is stored, what is refused, what is found."""

import os
from pathlib import Path

import numpy as np
import pytest

import vsearch
from vsearch.embed import load_encoder
from vsearch.errors import DimensionMismatch, EncoderError, EncoderMismatch, EncoderUnavailable, QueryError, SourceError
from vsearch.index import Index
from vsearch.ingest import vectors as room

DIM = 24


def rows(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)


def nearest(xb: np.ndarray, xq: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and row numbers by a plain loop over fp16 rows, as they are stored."""
    unit = [(row / np.linalg.norm(row)).astype(np.float16).astype(np.float64) for row in xb]
    scores = np.array([[u @ q / np.linalg.norm(q) for u in unit] for q in xq.astype(np.float64)])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), order


@pytest.fixture
def empty(tmp_path: Path):
    with vsearch.create(tmp_path / "bought.vsearch", encoder=f"external:bought:{DIM}") as index:
        yield index


def names(n: int, start: int = 0) -> list[str]:
    return [f"https://example.org/{i}.jpg" for i in range(start, start + n)]


def test_what_was_added_is_found_with_its_cosine(empty: Index):
    xb, xq = rows(300) * np.linspace(0.01, 900, 300, dtype=np.float32)[:, None], rows(7, seed=1)
    ids = empty.add_vectors(names(300), xb)
    assert ids.dtype == np.int64 and len(set(ids.tolist())) == 300 and len(empty) == 300
    scores, found = empty.search_vectors(xq, 10)
    expected, order = nearest(xb, xq, 10)
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    assert (found == ids[order]).all()


def test_batches_leave_no_seam(empty: Index, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(room, "BATCH_ROWS", 16)
    xb, told = rows(50), []
    ids = empty.add_vectors(names(50), xb, progress=told.append)
    assert [p.done for p in told] == [16, 32, 48, 50] and {p.total for p in told} == {50}
    assert (empty.search_vectors(xb, 1)[1][:, 0] == ids).all()


def test_meta_and_uris_come_back_with_the_hits(empty: Index, tmp_path: Path):
    uris = [tmp_path / "a b.jpg", b"/raw/\xff.jpg", "s3://bucket/k\u00e9y.png", "file:///with%20space.jpg"]
    meta = {"caption": ["one", None, "", "vier"], "width": [10, None, 0, 7], "height": [20, None, 0, 9]}
    xb = rows(4)
    ids = empty.add_vectors(uris, xb, meta)
    hits = [empty.search(vsearch.Query.like(int(other)), 3) for other in ids]
    by_id = {hit.id: hit for found in hits for hit in found}
    told = [by_id[int(id)] for id in ids]
    assert [h.raw_path for h in told] == [
        os.fsencode(tmp_path / "a b.jpg"),
        b"/raw/\xff.jpg",
        "s3://bucket/k\u00e9y.png".encode(),
        b"/with space.jpg",
    ]
    assert told[1].uri == "file:///raw/%FF.jpg" and told[2].uri == "s3://bucket/k%C3%A9y.png"
    assert told[3].uri == "file:///with%20space.jpg"
    assert [h.caption for h in told] == ["one", None, None, "vier"]
    assert [(h.width, h.height) for h in told] == [(10, 20), (0, 0), (0, 0), (7, 9)]


def test_the_same_uri_again_replaces(empty: Index):
    first = empty.add_vectors(names(5), rows(5))
    second = empty.add_vectors(names(3), rows(3, seed=2))
    assert len(empty) == 5 and not set(first.tolist()) & set(second.tolist())
    scores, found = empty.search_vectors(rows(3, seed=2), 5)
    assert found[:, 0].tolist() == second.tolist() and np.allclose(scores[:, 0], 1, atol=1e-3)
    assert set(found.ravel().tolist()) == {*second.tolist(), *first[3:].tolist()}


def test_of_equal_uris_the_last_stays(empty: Index):
    ids = empty.add_vectors(["x", "y", "x"], rows(3))
    assert len(empty) == 2
    assert set(empty.search_vectors(rows(1), 2)[1][0].tolist()) == {int(ids[1]), int(ids[2])}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0])
def test_a_row_without_direction_is_named_and_nothing_is_stored(empty: Index, bad: float, monkeypatch):
    monkeypatch.setattr(room, "BATCH_ROWS", 4)
    xb = rows(10)
    xb[7] = bad if bad == 0 else xb[7]
    xb[7, 3] = bad
    with pytest.raises(DimensionMismatch, match="row 7"):
        empty.add_vectors(names(10), xb)
    assert len(empty) == 0


def test_huge_and_tiny_rows_have_a_direction(empty: Index):
    xb = rows(2)
    xb = np.stack([xb[0] * 1e37, xb[1] * 1e-38]).astype(np.float32)
    ids = empty.add_vectors(["huge", "tiny"], xb)
    assert empty.search_vectors(rows(2), 1)[1][:, 0].tolist() == ids.tolist()


@pytest.mark.parametrize(
    "xb",
    [np.ones((3, DIM + 1), np.float32), np.ones(DIM, np.float32), np.ones((3, DIM), np.int32), np.ones((3, DIM), "O")],
)
def test_other_shapes_and_types_are_refused(empty: Index, xb: np.ndarray):
    with pytest.raises(DimensionMismatch, match=str(DIM)):
        empty.add_vectors(names(3), xb)


def nested(depth: int) -> list:
    made: list = []
    for _ in range(depth):
        made = [made]
    return made


@pytest.mark.parametrize(
    ("uris", "meta", "told"),
    [
        (names(2), {}, "2 uris for 3 vectors"),
        (names(3), {"caption": ["x"]}, "1 caption for 3 vectors"),
        (names(3), {"colour": [1, 2]}, "2 colour for 3 vectors"),
        (["a", "", "c"], {}, "row 1 has 0 bytes"),
        (["a", "b" * 70_000, "c"], {}, "row 1 has 70,000 bytes"),
        (names(3), {"width": [1, -1, 2]}, "row 1 has a width or height of -1"),
        (names(3), {"height": [1, 2, "tall"]}, "row 2 has a width or height of 'tall'"),
        (names(3), {"stock": [1, 2**64, 2]}, "row 1 of the column 'stock' has 18446744073709551616"),
        (names(3), {"stock": [1, 2, -(2**63) - 1]}, "row 2 of the column 'stock' has -9223372036854775809"),
        (names(3), {"caption": ["x", "y", "\ud800"]}, "row 2 of the column 'caption' is no text"),
        (["a", "b\ud800", "c"], {}, r"the uri of row 1, 'b\\ud800', cannot be a name"),
        (["a", "b", None], {}, "the uri of row 2, None, cannot be a name"),
        (["a", Path("b\ud800"), "c"], {}, "the uri of row 1, "),
        (["a", "b", "file:///p/c%00.jpg"], {}, "the uri of row 2 contains a zero byte"),
        (names(3), {"stock\ud800": [1, 2, 3]}, "the name of a column is 'stock"),
        (names(3), {7: [1, 2, 3]}, "the name of a column is 7"),
        (names(3), {"stock": [1, 10**5000, 2]}, "row 1 of the column 'stock' has a value too long to be shown"),
        (names(3), {"width": [1, 2, 10**5000]}, "row 2 .*too long to be shown"),
        (names(3), {"deep": [1, nested(2000), 2]}, "row 1 of the column 'deep' cannot be read"),
        (names(3), {"stock": [1, 2, ["\ud800"]]}, "row 2 of the column 'stock' is no text"),
    ],
)
def test_uris_and_meta_that_do_not_fit_are_refused(empty: Index, uris, meta, told):
    with pytest.raises(SourceError, match=told):
        empty.add_vectors(uris, rows(3), meta)
    assert len(empty) == 0


def test_a_bad_row_far_behind_leaves_nothing_of_those_before_it(empty: Index, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vsearch.ingest.vectors.BATCH_ROWS", 2)
    with pytest.raises(SourceError, match="row 4 has a width or height of 'tall'"):
        empty.add_vectors(names(5), rows(5), {"width": [1, 2, 3, 4, "tall"]})
    assert len(empty) == 0


def test_values_of_numpy_and_of_tables_are_kept_as_pythons_own(empty: Index):
    values = [np.str_("x"), np.int64(7), np.float32(0.5), np.bool_(True), np.arange(2), float("nan"), float("inf")]
    empty.add_vectors(names(7), rows(7), {"kept": values, "caption": ["", None, np.nan, 0, b"said", "x", ["y"]]})
    with empty.store.snapshot() as snapshot:
        found = [snapshot.details(id).columns.get("kept") for id, _ in snapshot.items()]
        captions = [record.caption for _, record in snapshot.items()]
    assert found == ["x", 7, 0.5, True, "[0, 1]", None, float("inf")]
    assert captions == [None, None, None, None, "said", "x", "y"]


def test_whole_numbers_up_to_what_is_kept(empty: Index):
    empty.add_vectors(names(2), rows(2), {"large": [2**64 - 1, -(2**63)]})
    with empty.store.snapshot() as snapshot:
        assert [snapshot.details(id).columns["large"] for id, _ in snapshot.items()] == [2**64 - 1, -(2**63)]


def test_nothing_to_add_is_no_error(empty: Index):
    assert empty.add_vectors([], np.zeros((0, DIM), np.float32)).shape == (0,)


def test_texts_and_pictures_say_what_to_do_instead(empty: Index, photos: Path):
    empty.add_vectors(names(3), rows(3))
    with pytest.raises(EncoderUnavailable, match="search_vectors"):
        empty.search("red")
    with pytest.raises(EncoderUnavailable, match="add_vectors"):
        empty.add(vsearch.folder(photos))


def test_the_index_remembers_whose_vectors_they_are(empty: Index):
    empty.add_vectors(names(3), rows(3))
    empty.close()
    with vsearch.open(empty.path) as again:
        assert (again.encoder_info.name, again.encoder_info.dim) == ("external:bought", DIM)
        assert again.encoder.info == again.encoder_info
        with pytest.raises(EncoderMismatch):
            again.use_encoder(load_encoder(f"external:other:{DIM}"))


@pytest.mark.parametrize(
    "name", ["external", "external:", "external:x", "external:x:0", "external:x:99999999", "external:a b:3"]
)
def test_names_that_say_no_dimension_are_refused(name: str):
    with pytest.raises(EncoderError, match="external:NAME:DIM"):
        load_encoder(name)


def test_a_vector_is_a_query_and_can_be_mixed_with_stored_ones(empty: Index):
    xb = rows(40)
    ids = empty.add_vectors(names(40), xb)
    one = empty.search(xb[3], 2)
    assert one[0].id == ids[3] and one[0].score == pytest.approx(1, abs=1e-3)
    unit = xb / np.linalg.norm(xb, axis=1, keepdims=True)
    mixed = empty.search(2 * vsearch.Query(500 * xb[3]) - vsearch.Query.like(int(ids[7])), 5)
    order = nearest(xb, (2 * unit[3] - unit[7])[None], 6)[1][0]
    assert [hit.id for hit in mixed] == [int(ids[i]) for i in order if i != 7][:5]
    with pytest.raises(DimensionMismatch, match="24 dimensions"):
        empty.search(np.ones(DIM + 1, np.float32))
    with pytest.raises(QueryError, match="zero"):
        empty.search(np.zeros(DIM, np.float32))
