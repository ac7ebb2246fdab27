"""The audit against hand-made counts, published formulas and a collection whose make-up is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vsearch
from vsearch.errors import QueryError
from vsearch.evaluate import audit
from vsearch.evaluate.audit import compare, ndkl, wilson


def test_wilson_as_published():
    """Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    cases = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (count, total), interval in cases.items():
        told = wilson(count, total)
        assert (told.low, told.high) == pytest.approx(interval, abs=5e-5)
    assert (wilson(0, 0).share, wilson(0, 0).low, wilson(0, 0).high) == (0.0, 0.0, 1.0)


def test_ndkl_against_a_plain_loop():
    ranking, shares = [0, 0, 1, 0, 2, 2, 1], [0.5, 0.3, 0.2]
    total = weights = 0.0
    for depth in range(1, len(ranking) + 1):
        weight = 1 / math.log2(depth + 1)
        for group, share in enumerate(shares):
            at = ranking[:depth].count(group) / depth
            total += weight * (at * math.log(at / share) if at else 0)
        weights += weight
    assert ndkl(np.array(ranking), np.array(shares)) == pytest.approx(total / weights)
    assert ndkl(np.array([0, 0]), np.array([1.0, 0.0])) == 0


def test_shares_skew_and_what_differs_by_hand():
    top = np.array([0] * 45 + [1] * 5 + [-1] * 50)
    collection = np.array([0] * 500 + [1] * 500 + [-1] * 200)
    told = compare(["man", "woman"], top, collection, sampled=False)
    man, woman = told.groups
    assert (man.top.share, man.collection.share, woman.top.share) == (0.9, 0.5, 0.1)
    assert man.skew == pytest.approx(math.log(1.8)) and woman.skew == pytest.approx(math.log(0.2))
    assert man.differs and woman.differs
    assert (told.undecided_top.share, told.undecided_collection.count) == (0.5, 200)
    assert told.ndkl > 3 * told.ndkl_by_chance > 0
    even = compare(["man", "woman"], np.array([0, 1] * 25), collection, sampled=True)
    assert not any(group.differs for group in even.groups) and even.ndkl < told.ndkl


def test_a_group_that_is_nowhere_has_no_skew():
    told = compare(["a", "b", "c"], np.array([0, 1]), np.array([0, 0, 1]), sampled=False)
    assert told.groups[2].skew is None and told.ndkl is not None
    assert compare(["a", "b"], np.array([1]), np.array([0]), sampled=True).ndkl is None
    assert compare(["a", "b"], np.array([-1]), np.array([0]), sampled=True).ndkl is None


@pytest.fixture
def mixed(tmp_path: Path):
    """60 pictures, half red and half blue; "boss" is in none of them, but those that are partly green are red."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(60):
        picture = Image.new("RGB", (40, 40), (255, 0, 0) if n % 2 else (0, 0, 255))
        if n % 2 and n < 40:
            picture.paste((0, 160, 0), (0, 0, 12, 12))
        picture.putpixel((39, 39), (n, n, n))  # no two of the same bytes
        picture.save(folder / f"{n:02}.png")
    with vsearch.create(tmp_path / "photos.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(folder))
        yield index


def test_an_audit_of_a_known_collection(mixed):
    told = audit(mixed, "green", ["red", "blue"], k=20, certain=0.8)
    red, blue = told.groups
    assert (red.top.count, blue.top.count, told.undecided_top.count) == (20, 0, 0)
    assert (red.collection.count, blue.collection.count) == (30, 30)
    assert red.skew == pytest.approx(math.log(2)) and blue.skew is None and red.differs
    assert told.k == 20 and not told.sampled and told.limits
    part = audit(mixed, "green", ["red", "blue"], k=20, sample=40)
    assert part.sampled and sum(group.collection.total for group in part.groups[:1]) == 40


def test_what_fits_no_group_clearly_is_undecided(mixed):
    """Neither colour is in any picture, so both are as likely: a half each, which is below 0.8."""
    told = audit(mixed, "red", ["yellow", "purple"], k=10)
    assert told.undecided_top.share == told.undecided_collection.share == 1.0
    assert told.ndkl is None


def test_an_audit_that_makes_no_sense_is_refused(mixed):
    with pytest.raises(QueryError, match="two or more"):
        audit(mixed, "red", ["blue"])
    with pytest.raises(QueryError, match="certain 2"):
        audit(mixed, "red", ["blue", "red"], certain=2)
