import math
import subprocess
import sys

import numpy as np
import pytest

from vsearch.embed import load_encoder
from vsearch.embed.toy import PALETTE, Toy
from vsearch.errors import EncoderError


def plain(colour):
    return np.full((16, 16, 3), PALETTE[colour], dtype=np.uint8)


def score(text, picture):
    toy = Toy()
    return float((toy.encode_texts([text]) @ toy.encode_images(picture[None]).T)[0, 0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("red", 1.0),
        ("Red!", 1.0),
        ("red apple", 2 / math.sqrt(4.25)),
        ("red blue", 1 / math.sqrt(2)),
        ("blue", 0.0),
        ("apple", 0.0),
        ("", 2 / 8),
    ],
)
def test_scores_of_a_red_picture_are_those_of_the_formula(text, expected):
    assert score(text, plain("red")) == pytest.approx(expected, abs=1e-6)


def test_a_picture_half_red_and_half_blue_scores_one_half_for_red():
    picture = plain("red")
    picture[:, 8:] = PALETTE["blue"]
    assert score("red", picture) == pytest.approx(0.5, abs=1e-6)
    assert score("red and blue", picture) == pytest.approx(4 * 0.5 / math.sqrt(8.25), abs=1e-6)


def test_each_colour_word_finds_its_own_picture_first():
    toy = Toy()
    pictures = toy.encode_images(np.stack([plain(colour) for colour in PALETTE]))
    texts = toy.encode_texts([f"a {colour} thing" for colour in PALETTE])
    assert (texts @ pictures.T).argmax(axis=1).tolist() == list(range(len(PALETTE)))


def test_vectors_equal_a_plain_loop_over_pixels():
    pixels = np.random.default_rng(7).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    expected = np.zeros((3, 64))
    for n, y, x in np.ndindex(3, 16, 16):
        colour = [int(v) for v in pixels[n, y, x]]
        far = [sum((a - b) ** 2 for a, b in zip(colour, named, strict=True)) for named in PALETTE.values()]
        expected[n, 12 * (2 * (y // 8) + x // 8) + far.index(min(far))] += 1
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(Toy().encode_images(pixels), expected, atol=1e-6)


def test_a_turned_picture_has_another_vector():
    picture = plain("red")
    picture[:8, :8], picture[8:, 8:] = PALETTE["blue"], PALETTE["green"]
    turned = [np.rot90(picture, k) for k in range(4)] + [np.rot90(picture[:, ::-1], k) for k in range(4)]
    vectors = Toy().encode_images(np.stack(turned))
    assert len(np.unique(vectors.round(4), axis=0)) == 4  # the picture equals its own mirror along a diagonal


def test_empty_batches_give_empty_matrices():
    assert Toy().encode_texts([]).shape == (0, 64)
    assert Toy().encode_images(np.zeros((0, 16, 16, 3), np.uint8)).shape == (0, 64)


def test_pixels_of_another_shape_or_type_are_refused():
    with pytest.raises(EncoderError, match=r"\(n, 16, 16, 3\)"):
        Toy().encode_images(np.zeros((1, 17, 16, 3), np.uint8))
    with pytest.raises(EncoderError, match="uint8"):
        Toy().encode_images(np.zeros((1, 16, 16, 3), np.float32))


def test_the_fingerprint_is_the_same_in_another_process():
    code = "from vsearch.embed import load_encoder; print(load_encoder('toy').info.digest)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == load_encoder("toy").info.digest
