"""Words that only say that a text is about a picture do not change what `mini` finds."""

import numpy as np
import pytest

from vsearch.embed import load_encoder
from vsearch.embed.framing import unframed


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a photo of a dog", "a dog"),
        ("A Photograph of the sea", "the sea"),
        ("photos of two dogs", "two dogs"),
        ("an image showing a red car", "a red car"),
        ("  my picture of Rome", "Rome"),
        ("a dog", "a dog"),
        ("a photo of ", "a photo of "),
        ("photo of", "photo of"),
        ("a photo of a photo of a dog", "a photo of a dog"),
        ("a man with a photo of a dog", "a man with a photo of a dog"),
        ("photography of birds", "photography of birds"),
        ("", ""),
    ],
)
def test_only_what_comes_first_and_leaves_something_goes(text, meant):
    assert unframed(text) == meant


def test_things_stay_apart_when_they_are_called_photos_of_them():
    mini = load_encoder("mini")
    names = ("dog", "camera", "piano", "sunflower", "ferry")
    framed = mini.encode_texts([f"a photo of a {name}" for name in names])
    assert np.allclose(framed, mini.encode_texts([f"a {name}" for name in names]), atol=1e-6)
    cosines = framed @ framed.T
    assert cosines[~np.eye(len(names), dtype=bool)].max() < 0.8
