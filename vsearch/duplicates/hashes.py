"""Perceptual hashes of pictures, made when they are needed and kept nowhere.

Only pictures with a near neighbour are read, so hashing all of a collection at ingestion, and storing what may never be
asked for, would cost more; and a hash made from the file as it is now cannot be out of date.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vsearch.decode import Decoded, DecodePool, Job
from vsearch.duplicates import colours
from vsearch.types import PixelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bits = NDArray[np.bool_]

SIDE = 16  # of the hash: 256 bits
BITS = SIDE * SIDE
# Of 400 photos and 400 drawings, the changes listed in ``calibrate`` leave 99 % within this; of distinct photos one
# pair in 10,000 is within 90, of drawings (many of them alike) within 32.
MOST_BITS = 48
# For two copies of one picture that were changed in different ways.
MOST_BITS_APART = 64
SPEC = PixelSpec(size=128, resize="squash", interpolation="bilinear")
_CUT = 0.05
# Left, top, right, bottom as parts of the side: what is left when the edges of a picture are cut off.
_CROPS = (
    (_CUT / 2, _CUT / 2, 1 - _CUT / 2, 1 - _CUT / 2),
    (_CUT, _CUT, 1 - _CUT, 1 - _CUT),
    (_CUT, _CUT, 1.0, 1.0),
    (0.0, 0.0, 1 - _CUT, 1 - _CUT),
    (0.0, _CUT, 1 - _CUT, 1.0),
    (_CUT, 0.0, 1.0, 1 - _CUT),
)


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture and what is left of it when it is cropped look like, the whole picture first.

    bits: (7, 256) bool, imagehash's ``phash``: the signs of the low frequencies of the cosine transform of brightness
    against their median.  chroma: (7, 256, 2) float32, the colours of 16 x 16 cells.
    """

    bits: Bits
    chroma: NDArray[np.float32]


def hashes(paths: Iterable[bytes], workers: int | None = None) -> Iterator[Look | None]:
    """The hashes of pictures, in order; None for a file that cannot be read.  See ``of`` for what they are."""
    with DecodePool(SPEC, workers=workers) as pool:
        for outcome in pool.map(Job(path) for path in paths):
            yield of(outcome.pixels) if isinstance(outcome, Decoded) else None


def of(pixels: NDArray[np.uint8]) -> Look:
    """The look of a picture.  pixels: (128, 128, 3) uint8."""
    import imagehash
    from PIL import Image

    whole = Image.fromarray(pixels)
    side = pixels.shape[0]
    pieces = [whole, *(whole.crop(tuple(round(side * part) for part in crop)) for crop in _CROPS)]
    bits = [imagehash.phash(piece, hash_size=SIDE).hash.reshape(-1) for piece in pieces]
    return Look(np.stack(bits), np.stack([colours.of(piece) for piece in pieces]))


def differing(a: Look, b: Look) -> int:
    """Bits that differ between two pictures, either of which may be a crop of the other: least over all crops."""
    return int(min((a.bits[0] != b.bits).sum(axis=1).min(), (b.bits[0] != a.bits).sum(axis=1).min()))


def same_colours(a: Look, b: Look) -> bool:
    """Whether two pictures, either of which may be a crop of the other, are no colour variants of one another."""
    pairs = ((a.chroma[0], b.chroma), (b.chroma[0], a.chroma))
    return min(colours.distance(whole, pieces) for whole, pieces in pairs) <= colours.MOST
