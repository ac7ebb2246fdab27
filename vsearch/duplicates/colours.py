"""Whether two pictures have the same colours in the same places: perceptual hashes see brightness only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Chroma = NDArray[np.float32]

SIDE = 16  # cells
COUNTED = 16  # of the 256 cells, those that differ most: a product may be small in its picture
# From which distance on two pictures are colour variants.  Of 80 photos, the changes listed in ``calibrate`` leave
# 98 % below 0.46 (all but brightening below 0.16), and hues turned by 60 degrees put 90 % above 0.67, all above 0.6;
# where the picture takes 0.35 of the sides of a white one, these are 0.12 and 0.6.
MOST = 0.5
_FAINT = 8.0  # of 128: colour that compression may add or take
# Blue and red differences of JFIF (ITU-T T.871, section 7), of 0..255.
_TO_CHROMA = np.array([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)


def of(piece: Image.Image) -> Chroma:
    """Mean colour of each of 16 x 16 cells of an RGB picture: (256, 2) float32, 0 for grey."""
    cells = np.asarray(piece.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    return cells.reshape(-1, 3) @ _TO_CHROMA.T


def distance(a: Chroma, b: Chroma) -> float:
    """How far the cells that differ most are apart, as a share of their colour: 0 for the same, 1 at 60 degrees of hue.

    a, b: (..., 256, 2), of which the least over all is returned.  A brighter picture has the same colours, but more of
    them, which makes a small distance; colours so faint that compression may have made them count for little.
    """
    apart = np.linalg.norm(a - b, axis=-1)
    colour = np.maximum(np.linalg.norm(a, axis=-1), np.linalg.norm(b, axis=-1))
    most = np.argsort(-apart, axis=-1)[..., :COUNTED]
    apart, colour = (np.take_along_axis(values, most, -1).sum(-1) for values in (apart, colour))
    return float((apart / (colour + COUNTED * _FAINT)).min())
