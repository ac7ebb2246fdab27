"""Relevance feedback on hand-made geometry, and its formulas against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from vsearch.errors import QueryError
from vsearch.search import feedback
from vsearch.types import Query


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_a_few_marks_give_rocchio():
    q = np.array([1.0, 0, 0], np.float32)
    right, wrong = unit(np.array([[0, 1.0, 0], [1, 1, 0]])), unit(np.array([[0, 0, 1.0]]))
    total = np.array([1 + 0.75 * (0 + 0.5**0.5) / 2, 0.75 * (1 + 0.5**0.5) / 2, -0.15])
    told = feedback.direction(q, right.astype(np.float32), wrong.astype(np.float32))
    np.testing.assert_allclose(told, unit(total), atol=1e-6)


def test_nothing_marked_is_the_query_itself():
    q = unit(np.arange(1.0, 9)).astype(np.float32)
    none = np.zeros((0, 8), np.float32)
    np.testing.assert_allclose(feedback.direction(q, none, none), q, atol=1e-6)


def test_marks_that_cancel_the_query_out_are_refused():
    q = np.array([1.0, 0], np.float32)
    with pytest.raises(QueryError, match="cancel"):
        feedback.direction(q, np.array([[-1.0, 0]], np.float32) / np.float32(0.75), np.zeros((0, 2), np.float32))


def test_the_head_is_where_the_slope_of_its_cost_is_zero():
    """Against numerical derivatives of the cost as the module states it, b included."""
    rng = np.random.default_rng(0)
    rows, y = unit(rng.standard_normal((9, 5))), np.array([1.0] * 5 + [-1] * 4)
    prior = feedback.SCALE * unit(rng.standard_normal(5))
    w = feedback._head(prior, rows, y)

    def cost(w: np.ndarray, b: float) -> float:
        loss = sum(np.log1p(np.exp(-label * (row @ w + b))) for row, label in zip(rows, y, strict=True))
        return loss + feedback.REGULARISATION / 2 * float(((w - prior) ** 2).sum())

    grid = np.linspace(-30, 30, 60_001)
    margins = rows @ w
    b = grid[np.argmin(np.logaddexp(0, -y[:, None] * (margins[:, None] + grid)).sum(axis=0))]
    for axis in np.eye(5):
        assert cost(w, b) <= min(cost(w + 0.01 * axis, b), cost(w - 0.01 * axis, b))
        assert abs(cost(w + 1e-4 * axis, b) - cost(w - 1e-4 * axis, b)) / 2e-4 < 1e-2


def two_meanings() -> tuple[np.ndarray, np.ndarray]:
    """A word of two meanings: 40 pictures of one along axis 1, 40 of the other along axis 2, all near the query."""
    rng = np.random.default_rng(1)
    rows = 0.15 * rng.standard_normal((80, 16))
    rows[:, 0] += 1
    rows[:40, 1] += 0.25
    rows[40:, 2] += 0.25
    return unit(rows).astype(np.float32), np.eye(16, dtype=np.float32)[0]


@pytest.mark.parametrize("marks", [1, 3, 8])
def test_marks_tell_two_meanings_apart(marks):
    rows, q = two_meanings()
    told = feedback.direction(q, rows[:marks], rows[40 : 40 + marks])

    def told_apart(vector: np.ndarray) -> float:
        """The share of pairs of unmarked pictures, one of each meaning, that are in the right order."""
        scores = rows @ vector
        return float((scores[marks:40, None] > scores[40 + marks :]).mean())

    assert told_apart(q) < 0.6
    assert told_apart(told) >= told_apart(q) + {1: 0.05, 3: 0.15, 8: 0.2}[marks]


def test_the_head_tells_more_than_rocchio_with_the_same_marks(monkeypatch):
    """Between the meanings, and not along what both have: measured as the gap of mean scores of unmarked pictures."""
    rows, q = two_meanings()

    def gap() -> float:
        told = feedback.direction(q, rows[:8], rows[40:48])
        return float((rows[8:40] @ told).mean() - (rows[48:] @ told).mean())

    head = gap()
    monkeypatch.setattr(feedback, "ENOUGH", 99)
    assert head > gap()


def test_in_an_index_what_was_wrong_is_left_out_and_what_was_right_stays(index):
    hits = {hit.path.stem: hit.id for hit in index.search("red blue", k=6)}
    found = index.search("red blue", k=6, more=[hits["blue"]], less=[hits["red"]])
    assert found[0].path.stem == "blue" and hits["red"] not in {hit.id for hit in found} and len(found) == 5
    again = index.search(Query.like(hits["blue"]), k=1, more=[hits["blue"]])
    assert again[0].id == hits["blue"], "marked as right, it stays, though it is the query"


def test_marks_that_make_no_sense_are_refused(index):
    with pytest.raises(QueryError, match="no picture has the id 99"):
        index.search("red", more=[99])
    with pytest.raises(QueryError, match="both more and less"):
        index.search("red", more=[1], less=[1])
