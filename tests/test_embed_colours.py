"""Colours by value: CIE reference numbers, discs on backgrounds, a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from vsearch.embed import colours


def test_lab_equals_published_values_for_srgb():
    rgb = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [119, 119, 119]], np.uint8)
    expected = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86]]
    np.testing.assert_allclose(colours.lab(rgb)[:5], expected, atol=0.1)
    np.testing.assert_allclose(colours.lab(rgb)[5], [50.0, 0, 0], atol=0.1)


def disc(inside, outside):
    y, x = np.mgrid[:260, :260]
    picture = np.full((260, 260, 3), outside, np.uint8)
    picture[(x - 130) ** 2 + (y - 130) ** 2 < 70**2] = inside
    return picture


@pytest.mark.parametrize("name", ["red", "green", "blue", "yellow", "purple", "black"])
@pytest.mark.parametrize("background", ["white", "grey", "brown"])
def test_the_colour_of_the_thing_counts_not_that_of_the_background(name, background):
    picture = disc(colours.PALETTE[name], colours.PALETTE[background])[None]
    y, x = np.mgrid[:9, :9]
    attention = np.exp(-((x - 4) ** 2 + (y - 4) ** 2) / 8.0)[None].astype(np.float32)
    share = colours.shares(picture, attention)
    assert share.sum() == pytest.approx(1, abs=1e-3)
    assert list(colours.PALETTE)[int(share[0].argmax())] == name
    assert share[0].max() > 0.6


def test_attention_chooses_between_two_things():
    picture = np.full((1, 260, 260, 3), colours.PALETTE["white"], np.uint8)
    picture[0, 80:180, 20:110] = colours.PALETTE["red"]
    picture[0, 80:180, 150:240] = colours.PALETTE["green"]
    left = np.zeros((1, 9, 9), np.float32)
    left[0, :, :4] = 1
    names = list(colours.PALETTE)
    assert names[int(colours.shares(picture, left)[0].argmax())] == "red"
    assert names[int(colours.shares(picture, left[:, :, ::-1].copy())[0].argmax())] == "green"


def test_directions_equal_a_plain_loop():
    def encode(texts):
        rows = [np.random.default_rng(sum(t.encode()) * len(t)).standard_normal(6) for t in texts]
        return np.stack(rows).astype(np.float32)

    made = colours.directions(encode)
    loop = []
    for colour in colours.PALETTE:
        total = np.zeros(6)
        for noun in colours.NOUNS:
            total += encode([f"a {colour} {noun}"])[0] - encode([f"a {noun}"])[0]
        loop.append(total / len(colours.NOUNS))
    np.testing.assert_allclose(made, np.array(loop) - np.mean(loop, axis=0), atol=1e-5)


def test_nothing_to_look_at_still_gives_shares():
    share = colours.shares(disc((10, 10, 10), (10, 10, 10))[None], np.zeros((1, 9, 9), np.float32))
    assert np.isfinite(share).all()
    assert share.sum() == pytest.approx(1, abs=1e-3)
