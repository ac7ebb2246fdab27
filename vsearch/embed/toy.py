"""A small true encoder of colours and words: no weights, exact by hand, thousands of pictures a second.

The joint space has 64 axes: 12 colours in each of the four quarters of the picture (axis = 12 * quarter +
colour; quarters: top left, top right, bottom left, bottom right), then 16 axes for other words.

- Picture: each pixel counts for the palette colour nearest to it in RGB (the first of two equally near).
  A quarter's axes hold the fraction of its pixels of each colour.
- Text: a colour word adds 1 to its colour in all four quarters; any other word adds 0.5 to the axis
  48 + CRC-32(word) mod 16. Words are runs of letters and digits, lower-cased.

Both are scaled to unit length, so "red" against a red picture scores 1, and "red apple" against it
2 / sqrt(4 + 0.25) = 0.9701. A text without words points equally to all axes.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vsearch.arguments import check_texts
from vsearch.embed.vectors import check_pixels, unit
from vsearch.types import EncoderInfo, PixelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

PALETTE = {
    "red": (255, 0, 0),
    "orange": (255, 128, 0),
    "yellow": (255, 255, 0),
    "green": (0, 160, 0),
    "cyan": (0, 255, 255),
    "blue": (0, 0, 255),
    "purple": (128, 0, 128),
    "pink": (255, 160, 190),
    "brown": (120, 70, 20),
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
    "white": (255, 255, 255),
}
COLOURS = tuple(PALETTE)
OTHER_SPELLINGS = {"gray": "grey", "violet": "purple"}
SIZE = 16
QUARTERS = 4
WORDS = 16
WORD_WEIGHT = 0.5
DIM = QUARTERS * len(COLOURS) + WORDS


class Toy:
    """The encoder ``toy``; see the module for its formula."""

    preprocess = PixelSpec(size=SIZE, resize="squash", interpolation="bilinear")
    temperature = None

    def __init__(self) -> None:
        weights = hashlib.sha256(repr((PALETTE, WORDS, WORD_WEIGHT)).encode()).hexdigest()
        self.info = EncoderInfo("toy", weights, DIM, self.preprocess)

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed (n, 16, 16, 3) uint8 pictures as (n, 64) float32 unit vectors.  Raises EncoderError."""
        check_pixels(pixels, self.preprocess)
        shares = np.zeros((len(pixels), DIM))
        shares[:, :-WORDS] = _colour_shares(_nearest_colours(pixels))
        return unit(shares, "pictures")

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts as (n, 64) float32 unit vectors.  Raises EncoderError."""
        told = check_texts(texts)
        return unit(np.array([_text_axes(text) for text in told]).reshape(len(told), DIM), "texts")


def _nearest_colours(pixels: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Index into COLOURS of every pixel: (n, size, size)."""
    palette = np.array(list(PALETTE.values()), dtype=np.float32)
    # |p - c|^2 less the |p|^2 that all colours share: one product instead of a (pixels, colours, 3) array
    far = (palette**2).sum(axis=1) - 2 * (pixels.astype(np.float32) @ palette.T)
    nearest: NDArray[np.intp] = np.argmin(far, axis=-1)
    return nearest


def _colour_shares(colours: NDArray[np.intp]) -> NDArray[np.float64]:
    """Fraction of each colour in each quarter: (n, 48)."""
    n, half = len(colours), SIZE // 2
    quarters = colours.reshape(n, 2, half, 2, half).swapaxes(2, 3).reshape(n * QUARTERS, half * half)
    slots = np.arange(n * QUARTERS)[:, None] * len(COLOURS) + quarters
    counts = np.bincount(slots.ravel(), minlength=n * QUARTERS * len(COLOURS))
    return counts.reshape(n, QUARTERS * len(COLOURS)) / (half * half)


def _text_axes(text: str) -> NDArray[np.float64]:
    axes = np.zeros(DIM)
    for word in re.findall(r"\w+", text.lower()):
        word = OTHER_SPELLINGS.get(word, word)
        if word in PALETTE:
            axes[COLOURS.index(word) : -WORDS : len(COLOURS)] += 1
        else:
            axes[DIM - WORDS + zlib.crc32(word.encode()) % WORDS] += WORD_WEIGHT
    return axes if axes.any() else np.ones(DIM)
