"""Queries of several parts against sums done by hand, and the part of a picture against one cut with Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import vsearch
from vsearch import Box, Crop, Part, Query
from vsearch.embed.toy import Toy
from vsearch.errors import QueryError
from vsearch.index import Index
from vsearch.query import embed

WORDS = ("red", "green", "blue sea", "apple")


def vector(index: Index, query: Query) -> np.ndarray:
    return embed(query, index.store, lambda _: index.encoder).vector[0]


def by_hand(*weighted: tuple[str, float]) -> np.ndarray:
    total = sum(weight * Toy().encode_texts([text])[0].astype(np.float64) for text, weight in weighted)
    return total / np.linalg.norm(total)


def test_parts_are_weighted_added_and_normalised(index, photos):
    told = vector(index, 2 * Query("green") + Path(photos / "red.png") - "blue")
    picture = np.zeros(64)
    picture[[0, 12, 24, 36]] = 0.5  # all four quarters red
    total = 2 * by_hand(("green", 1)) + picture - by_hand(("blue", 1))
    np.testing.assert_allclose(told, total / np.linalg.norm(total), atol=1e-6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    weights=st.lists(st.floats(0.01, 100).flatmap(lambda w: st.sampled_from([w, -w])), min_size=1, max_size=4),
    factor=st.floats(1e-30, 1e30),
)
def test_weights_are_homogeneous(index, weights, factor):
    """Scaling all weights by one positive number changes nothing, however large or small it is."""
    query = Query(*(Part(word, weight) for word, weight in zip(WORDS, weights, strict=False)))
    one, other = (embed(q, index.store, lambda _: index.encoder) for q in (query, factor * query))
    np.testing.assert_allclose(one.vector, other.vector, atol=1e-6)
    assert one.modality == other.modality
    np.testing.assert_allclose(one.vector[0], by_hand(*zip(WORDS, weights, strict=False)), atol=1e-6)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(4)), st.lists(st.floats(-3, 3), min_size=4, max_size=4).filter(lambda w: abs(sum(w)) > 1))
def test_the_order_of_parts_is_nothing_and_a_part_twice_is_twice_its_weight(index, order, weights):
    parts = [Part(word, weight) for word, weight in zip(WORDS, weights, strict=True)]
    shuffled = vector(index, Query(*(parts[at] for at in order)))
    np.testing.assert_allclose(vector(index, Query(*parts)), shuffled, atol=1e-6)
    halves = [Part(word, weight / 2) for word, weight in zip(WORDS, weights, strict=True)]
    np.testing.assert_allclose(vector(index, Query(*halves, *halves)), shuffled, atol=1e-6)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (Query("red") - "red", "cancel each other out"),
        (1e-30 * Query("red") - 1e-30 * Query("red"), "cancel each other out"),
        (0 * Query("red"), "one of them is not 0"),
        (float("nan") * Query("red"), "finite"),
        (float("inf") * Query("red"), "finite"),
        (Query("red") + " ", "empty text"),
        (Query(), "empty query"),
        (Query("re\ud800d"), "UTF-8 cannot hold"),
    ],
)
def test_queries_without_a_direction_are_refused(index, query, message):
    with pytest.raises(QueryError, match=message):
        index.search(query)


def test_what_is_not_wanted_is_moved_away_from(index):
    with_blue = {hit.path.stem: hit.score for hit in index.search(Query("red", "blue"))}
    without = {hit.path.stem: hit.score for hit in index.search(Query("red", Part("blue", -0.5)))}
    assert with_blue["blue"] > 0.5 and without["blue"] < 0 < without["red"]


def test_a_little_text_makes_it_a_query_to_be_searched_widely(index, photos):
    def modality(text: float, picture: float) -> str:
        query = Query(Part("red", text), Part(photos / "blue.png", picture))
        return embed(query, index.store, lambda _: index.encoder).modality

    assert [modality(1, 1), modality(-1, 1), modality(0.25, 1), modality(0.2, 1)] == ["text", "text", "text", "image"]


# ---------------------------------------------------------------- pictures of the query


def names(hits: list[vsearch.Hit]) -> list[str]:
    return [hit.path.name for hit in hits]


def test_pictures_of_the_query_are_left_out_by_id_by_path_and_by_content(index, photos, tmp_path):
    (elsewhere := tmp_path / "copy.png").write_bytes((photos / "red.png").read_bytes())
    Image.new("RGB", (40, 30), (250, 0, 0)).save(tmp_path / "like-red.png")
    red = next(hit for hit in index.search("red", include_query=True) if hit.path.name == "red.png")
    for query in (Query.like(red.id), photos / "red.png", elsewhere, Crop(elsewhere, Box(0, 0, 9, 9))):
        assert "red.png" not in names(index.search(query))
        assert names(index.search(query, include_query=True))[0] == "red.png"
    assert names(index.search(tmp_path / "like-red.png"))[0] == "red.png", "another picture of the same colour"
    changed = photos / "red.png"
    Image.new("RGB", (40, 30), (0, 0, 255)).save(changed)
    assert "red.png" not in names(index.search(changed)), "by its path, when the index has an older state of it"


# ---------------------------------------------------------------- a part of a picture


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    """40 x 30 pixels: red on the left, blue on the right; the lower ten rows green."""
    picture = Image.new("RGB", (40, 30), (255, 0, 0))
    picture.paste((0, 0, 255), (20, 0, 40, 30))
    picture.paste((0, 128, 0), (0, 20, 40, 30))
    picture.save(tmp_path / "halves.png")
    return tmp_path / "halves.png"


@pytest.mark.parametrize(
    ("box", "best"),
    [
        (Box(0, 0, 20, 20), "red.png"),
        (Box(20, 0, 20, 20), "blue.png"),
        (Box(0, 20, 40, 10), "green.png"),
        (Box(0, 0, 0.5, 0.6, "fractions"), "red.png"),
        (Box(0.5, 0, 0.5, 0.6, "fractions"), "blue.png"),
        (Box(0, 0.7, 1, 0.3, "fractions"), "green.png"),
        (Box(39, 0, 1, 1), "blue.png"),
    ],
)
def test_a_part_finds_what_is_in_it(index, halves, box, best):
    (hit,) = index.search(Crop(halves, box), k=1)
    assert hit.path.name == best and hit.score == pytest.approx(1, abs=1e-3)
    with Image.open(halves) as picture:
        (same,) = index.search(Crop(picture, box), k=1)
    assert (same.id, same.score) == (hit.id, pytest.approx(hit.score, abs=1e-6))


def test_a_part_is_of_the_picture_as_it_stands_upright(index, halves, tmp_path):
    with Image.open(halves) as picture:
        exif = picture.getexif()
        exif[0x0112] = 6  # stored lying on its left side: to be turned by 90 degrees clockwise
        picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    (hit,) = index.search(Crop(tmp_path / "turned.png", Box(20, 0, 20, 20)), k=1)
    assert hit.path.name == "blue.png"


@pytest.mark.parametrize(
    "box",
    [
        Box(0, 0, 41, 30),
        Box(-1, 0, 10, 10),
        Box(5, 5, 0, 10),
        Box(5, 5, -2, 10),
        Box(float("nan"), 0, 1, 1),
        Box(0.6, 0, 0.5, 1, "fractions"),
    ],
)
def test_a_part_outside_the_picture_is_refused_with_its_size(index, halves, box):
    with pytest.raises(QueryError, match="not inside a picture of 40 x 30 pixels"):
        index.search(Crop(halves, box))
    with Image.open(halves) as picture, pytest.raises(QueryError, match="40 x 30"):
        index.search(Crop(picture, box))
