"""Confidences on hand-made collections: present, absent and meaningless queries; how the background is kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import vsearch
from vsearch.confidence import NOTHING, Background, Null
from vsearch.confidence.background import lifts, null_of, surrogates
from vsearch.confidence.backgrounds import FEWEST, KIND, make
from vsearch.errors import IndexCorrupt, QueryError

DIM = 128


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def pictures_of(topics: np.ndarray, each: int, seed: int) -> np.ndarray:
    """Pictures around topics, with a direction that all of them share, as in the cone of a real encoder."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(topics, each, axis=0) + 0.06 * rng.standard_normal((len(topics) * each, DIM))
    rows[:, 0] += 1
    return unit(rows)


def topics(count: int, seed: int = 0) -> np.ndarray:
    made = unit(np.random.default_rng(seed).standard_normal((count, DIM)))
    made[:, 0] = 0
    return made


@pytest.fixture
def collection(tmp_path: Path):
    """300 vectors of 30 topics of 40; the last 10 topics are absent."""
    rows = pictures_of(topics(40)[:30], 10, 1)
    with vsearch.create(tmp_path / "a.vsearch", encoder=f"external:made:{DIM}") as index:
        index.add_vectors([f"u{n}" for n in range(len(rows))], rows)
        yield index


def test_the_curve_is_what_it_says():
    null = Null(0.2, 0.05)
    told = [null.confidence(0.2 + n * 0.05) for n in (0, 1, 2)]
    assert told == pytest.approx([0.1, 0.5, 0.9])
    assert null.confidence(-5) < 1e-6 and null.confidence(5) > 1 - 1e-6, "no overflow at the ends"
    mean = np.full(4, 0.5, "<f4")
    background = Background(9, mean.tobytes(), null, None, None)
    query = np.array([1, 0, 0, 0], np.float32)
    assert background.confidence(query, "text", 0.5 + 0.25) == pytest.approx(0.5)
    assert background.confidence(query, "image", 0.9) is None
    assert Background.unpack(background.pack(), 4) == background
    for raw, dim in ((background.pack(), 5), (b"nonsense", 4), (background.pack()[:-1], 4)):
        with pytest.raises(IndexCorrupt):
            Background.unpack(raw, dim)


def test_surrogates_lie_where_the_rows_lie_and_keep_none_of_them():
    rng = np.random.default_rng(0)
    rows = pictures_of(topics(8), 50, 2)
    made = surrogates(rows, 400, rng)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(unit(made.mean(axis=0)), unit(rows.mean(axis=0)), atol=0.05)
    spread = [np.sort(np.linalg.eigvalsh(np.cov(x.T)))[::-1][:5] for x in (rows, made)]
    np.testing.assert_allclose(*spread, rtol=0.35)
    near = (made @ rows.T).max(axis=1)
    own = np.sort(rows @ rows.T, axis=1)[:, -2]
    assert np.median(near) < np.median(own) - 0.05, "they are near to no picture, as pictures are to each other"


def test_the_null_distribution_is_mean_and_spread_of_the_best_lifts():
    mean = np.array([0.5, 0], np.float32)
    queries = np.array([[1, 0], [0, 1]], np.float32)
    scores = np.array([0.7, 0.6], np.float32)
    text, image = (null_of(lifts(scores, queries, mean, modality)) for modality in ("text", "image"))
    assert text == Null(pytest.approx(0.4, abs=1e-6), pytest.approx(0.2, abs=1e-6)), "what a text gives to all is out"
    assert image == Null(pytest.approx(0.65, abs=1e-6), pytest.approx(0.05, abs=1e-6))
    assert null_of(np.full(9, 0.3, np.float32)) is None, "no spread, no measure"


def test_present_queries_are_told_from_absent_ones(collection):
    known, strange = pictures_of(topics(40)[:30], 2, 7), pictures_of(topics(40)[30:], 6, 8)

    def best(xq: np.ndarray) -> list[float]:
        return [collection.search(q, k=1, modality="image")[0].confidence for q in xq]

    present, absent = np.array(best(known)), np.array(best(strange))
    assert (present[:, None] > absent).mean() >= 0.99  # the area under the ROC curve
    assert np.median(present) > 0.9 and np.median(absent) < 0.5
    least = float(np.median(present))
    assert collection.search(strange[0], modality="image", min_confidence=least) == []
    hits = collection.search(known[0], k=20, modality="image", min_confidence=0.5)
    told = [hit.confidence for hit in hits]
    assert 1 <= len(hits) < 20 and told == sorted(told, reverse=True) and min(told) >= 0.5


def test_a_modality_without_background_has_none(collection):
    query = topics(1)[0]
    assert collection.search(query, k=1, modality="text")[0].confidence is None
    with pytest.raises(QueryError, match="no confidences for texts"):
        collection.search(query, modality="text", min_confidence=0.5)


@pytest.mark.parametrize("least", [-0.1, 1.1, float("nan")])
def test_a_confidence_out_of_range_is_refused(collection, least):
    with pytest.raises(QueryError, match="in \\[0, 1\\]"):
        collection.search(topics(1)[0], min_confidence=least)


def named(index: vsearch.Index) -> str:
    with index.store.snapshot() as snapshot:
        return snapshot.derived(KIND).name


def test_it_is_made_from_64_pictures_on_and_again_when_there_are_twice_as_many(tmp_path):
    rows = pictures_of(topics(20), 20, 3)
    with vsearch.create(tmp_path / "b.vsearch", encoder=f"external:made:{DIM}") as index:

        def grow(upto: int) -> None:
            index.add_vectors([f"u{n}" for n in range(len(index), upto)], rows[len(index) : upto])

        grow(FEWEST - 1)
        assert index.search(rows[0], modality="image")[0].confidence is None
        with pytest.raises(QueryError, match="64 pictures or more, and this one has 63"):
            index.search(rows[0], modality="image", min_confidence=0.1)
        grow(FEWEST)
        assert index.search(rows[0], modality="image")[0].confidence is not None
        first = named(index)
        grow(2 * FEWEST - 1)
        assert named(index) == first
        grow(2 * FEWEST)
        assert named(index) != first
        files = [path for path in (index.path / "spaces").rglob(f"{KIND}-*")]
        assert [path.name for path in files] == [named(index)], "the old one is gone"


def test_a_damaged_background_is_not_believed(collection, tmp_path):
    shutil.copytree(collection.path, tmp_path / "copy.vsearch")
    (file,) = (tmp_path / "copy.vsearch/spaces").rglob(f"{KIND}-*")
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    with vsearch.open(tmp_path / "copy.vsearch") as index:
        assert index.search(topics(1)[0], modality="image")[0].confidence is None


def test_texts_and_pictures_are_measured_apart_and_compare():
    """Two modalities a gap apart, with other scales of score: the same closeness gives about the same confidence."""
    rng = np.random.default_rng(4)
    pictures = pictures_of(topics(40)[:30], 10, 1)

    def texts_of(chosen: np.ndarray, each: int) -> np.ndarray:
        rows = 0.5 * np.repeat(chosen, each, axis=0) + 0.03 * rng.standard_normal((len(chosen) * each, DIM))
        rows[:, 0] += 0.2
        rows[:, 1] += 1  # the gap
        return unit(rows)

    def best(xq: np.ndarray, modality: str) -> np.ndarray:
        return (xq @ pictures.T).max(axis=1)

    known = make(len(pictures), pictures, texts_of(topics(60, 9), 4), best, rng)
    for modality, like in (("text", texts_of), ("image", lambda chosen, each: pictures_of(chosen, each, 6))):
        told = [
            np.median([known.confidence(q, modality, (pictures @ q).max()) for q in like(chosen, 4)])
            for chosen in (topics(40)[:30], topics(40)[30:])
        ]
        assert told[0] > 0.9 and told[1] < 0.5, modality
    assert NOTHING < 0.1


def test_a_mixture_is_compared_with_meaningless_mixtures():
    """Half a text and half a picture: neither a text, whose scores are lower, nor a picture, whose are higher."""
    from vsearch.search.query import QueryVector

    told = QueryVector(np.zeros((1, 2), np.float32), "text", has_pictures=True)
    assert (told.kind("text"), told.kind("image")) == ("mixed", "image")
    assert QueryVector(told.vector, "text").kind("text") == "text"
    rng = np.random.default_rng(5)
    pictures = pictures_of(topics(30), 10, 1)
    texts = unit(0.5 * topics(64, 9) + np.eye(DIM, dtype=np.float32)[1])
    known = make(300, pictures, texts, lambda xq, _: (xq @ pictures.T).max(axis=1), rng)
    means = {kind: known.null(kind).mean for kind in ("text", "mixed")}
    assert means["text"] < means["mixed"] < known.null("image").mean
