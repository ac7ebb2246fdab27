"""Changes of a picture under which its captions stay true.

A crop that keeps at least nine tenths of each side, and a mirror image unless a caption tells left from right or tells
of writing.  Colours are never touched: captions name them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.types import PixelSpec

LEAST_SIDE = 0.9
"""Shortest side of a crop, as a share of the picture's."""
ROOM = 1.1
"""How much larger a picture is decoded than it is wanted, so that a crop is not an enlargement."""
_SIDES = re.compile(
    r"\b((left|right)(most|ward|wards|hand)?|((anti|counter)-?)?clockwise|east\w*|west\w*"
    r"|letters?|words?|text|writing|written|reads?|says|sign|logo|numbers?|captions?)\b",
    re.IGNORECASE,
)


def tells_sides(captions: Sequence[str]) -> bool:
    """Whether any caption would be untrue, or the picture unreadable, in a mirror."""
    return any(_SIDES.search(caption) for caption in captions)


def roomy(spec: PixelSpec) -> PixelSpec:
    """The geometry in which pictures are decoded before they are cropped."""
    return replace(spec, size=round(spec.size * ROOM), scale_to=round(spec.scale_to * ROOM))


def augmented(pixels: NDArray[np.uint8], size: int, may_flip: bool, random: np.random.Generator) -> NDArray[np.uint8]:
    """Crop, scale and perhaps mirror one picture: (s, s, 3) to (size, size, 3) uint8."""
    side = pixels.shape[0]
    width, height = random.uniform(LEAST_SIDE, 1.0, 2) * side
    left, top = random.uniform(0, side - width), random.uniform(0, side - height)
    flip = random.random() < 0.5
    box = (left, top, left + width, top + height)
    image = Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC, box=box)
    out = np.asarray(image)
    return out[:, ::-1] if flip and may_flip else out
