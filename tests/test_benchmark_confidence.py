"""The benchmark of confidences: its measure against a plain loop, and its rule for what is absent."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    from suites import confidence

    yield confidence
    for name in ("suites.confidence", "suites", "labelled"):
        sys.modules.pop(name, None)


def test_the_area_is_the_share_of_pairs_in_order(suite):
    rng = np.random.default_rng(0)
    present, absent = rng.integers(0, 5, 30) + 1.0, rng.integers(0, 5, 20) + 0.0
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in present for b in absent]
    assert suite.auc(present, absent) == pytest.approx(np.mean(pairs))
    curve = suite.roc(present, absent)
    assert curve == sorted(curve) and curve[0][0] == 0.0


def test_content_words_leave_out_grammar_colours_and_plurals(suite):
    assert suite.content_words("Two red Apples on a wooden table.") == {"apple", "wooden", "table"}
    assert suite.content_words("a photo of a sea horse") == {"sea", "horse"}
