"""Retrieval metrics against hand-made matrices and plain loops."""

import numpy as np
import pytest

from vsearch.errors import DimensionMismatch, QueryError
from vsearch.evaluate import retrieval
from vsearch.evaluate.retrieval import figures, ranks, recall_at


def circle(*degrees):
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


def loop_ranks(xt, xi, owner):
    """The definition, one comparison at a time."""
    scores = [[float(t @ i) for i in xi] for t in xt]
    of_texts = [
        1 + sum(scores[t][i] >= scores[t][own] - 1e-6 for i in range(len(xi)) if i != own)
        for t, own in enumerate(owner)
    ]
    of_images = []
    for i in range(len(xi)):
        mine = [scores[t][i] for t in range(len(xt)) if owner[t] == i]
        foreign = [scores[t][i] for t in range(len(xt)) if owner[t] != i]
        of_images.append(1 + sum(score >= max(mine) - 1e-6 for score in foreign) if mine else 0)
    return of_texts, of_images


def test_angles_on_a_circle():
    # Captions at 10° and 80° tell of the picture at 0°, one at 60° of that at 90°; a fourth picture has none.
    xi, xt = circle(0, 90, 180), circle(10, 80, 60)
    found = ranks(xt, xi, np.array([0, 0, 1]))
    assert found.of_texts.tolist() == [1, 2, 1]
    assert found.of_images.tolist() == [1, 2, 0]  # 80°, which is foreign, is nearer to 90° than 60° is
    assert figures(found, (1, 2)) == {
        "image_retrieval_recall@1": pytest.approx(2 / 3),
        "image_retrieval_recall@2": 1.0,
        "image_retrieval_median_rank": 1.0,
        "text_retrieval_recall@1": 0.5,
        "text_retrieval_recall@2": 1.0,
        "text_retrieval_median_rank": 1.5,
    }


def test_equal_scores_count_against_the_encoder():
    same = np.repeat(circle(0), 5, axis=0)
    assert ranks(same, same, np.arange(5)).of_texts.tolist() == [5] * 5
    told = recall_at(same, same, np.arange(5), (1, 4, 5))
    assert told["image_retrieval_recall@1"] == told["text_retrieval_recall@4"] == 0.0
    assert told["image_retrieval_recall@5"] == told["text_retrieval_recall@5"] == 1.0


@pytest.mark.parametrize("block", [1, 7, 50, 1 << 24])
def test_any_block_size_gives_what_the_loop_gives(monkeypatch, block):
    monkeypatch.setattr(retrieval, "BLOCK_SCORES", block)
    rng = np.random.default_rng(3)
    xi, xt = (rng.normal(size=(n, 8)).astype(np.float32) for n in (30, 70))
    xi, xt = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (xi, xt))
    xi[7] = xi[3]  # a duplicate picture ties
    owner = rng.integers(0, 28, 70)  # two pictures without captions at least
    found = ranks(xt, xi, owner)
    of_texts, of_images = loop_ranks(xt, xi, owner)
    assert found.of_texts.tolist() == of_texts
    assert found.of_images.tolist() == of_images


def test_what_does_not_go_together_is_refused():
    with pytest.raises(DimensionMismatch, match="do not go together"):
        ranks(circle(0, 1), circle(0), np.array([0]))
    with pytest.raises(DimensionMismatch, match="an owner of 3 among 1"):
        ranks(circle(0), circle(0), np.array([3]))
    with pytest.raises(QueryError, match="no caption"):
        ranks(np.zeros((0, 2), np.float32), circle(0), np.zeros(0, np.int64))
    with pytest.raises(DimensionMismatch, match="NaN"):
        ranks(circle(0) * np.nan, circle(0), np.array([0]))
