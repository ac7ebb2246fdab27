"""Sixel: pictures for terminals since the DEC VT240 (vt100.net/docs/vt3xx-gp/chapter14.html)."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

COLOURS = 255
BAND = 6
FIRST = 63  # "?": six pixels, none of them set


def sixel(image: Image) -> str:
    """Encode an RGB picture: up to 255 colours, six rows at a time, one pass per colour of those rows."""
    import numpy as np

    indexed = image.quantize(COLOURS)
    palette = indexed.getpalette() or []
    numbers = np.asarray(indexed)
    height, width = numbers.shape
    colours = "".join(
        f"#{n};2;" + ";".join(str(round(v / 255 * 100)) for v in palette[3 * n : 3 * n + 3])
        for n in np.unique(numbers).tolist()
    )
    bands = "-".join(_band(numbers[y : y + BAND]) for y in range(0, height, BAND))
    return f'\x1bP0;1q"1;1;{width};{height}{colours}{bands}\x1b\\'


def _band(rows: NDArray[np.uint8]) -> str:
    import numpy as np

    weights = (1 << np.arange(len(rows)))[:, None]
    passes = []
    for colour in np.unique(rows).tolist():
        bits = ((rows == colour) * weights).sum(0) + FIRST
        runs = ((chr(value), len(list(run))) for value, run in groupby(bits.tolist()))
        passes.append(f"#{colour}" + "".join(c * n if n < 4 else f"!{n}{c}" for c, n in runs))
    return "$".join(passes)
