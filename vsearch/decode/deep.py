"""From numbers of more than 8 bits, or floats, to 0..255: scaled by what is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

BITS, PHOTOMETRIC, SAMPLE_FORMAT, NODATA = 258, 262, 339, 42113  # TIFF 6.0, section 8 and 19; GDAL's tag
_UNSIGNED = 1
_ABSENT = 1e30  # beyond it lies no measurement, but what stands for none: -3.4e38 is the lowest float
_MOST_COUNTED = 1 << 20  # values of which percentiles are taken
_DARK = 0.25


def eight_bit(image: Image.Image) -> Image.Image:
    """A picture of mode L from a grey one of more than 8 bits or floats; any other is returned as it is."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    tags = getattr(image, "tag_v2", {})
    values = np.asarray(image)
    whites: tuple[float, ...] = (65535.0, 2.0**32 - 1) if image.mode == "I" else (65535.0,)
    if image.mode == "F":
        whites = (1.0, 255.0)
    elif image.mode == "I" and tags.get(BITS) == (32,) and tags.get(SAMPLE_FORMAT, (_UNSIGNED,))[0] == _UNSIGNED:
        values = values.view(np.uint32)
    grey = levels(values, whites, nodata_of(tags))
    return Image.fromarray(255 - grey if tags.get(PHOTOMETRIC) == 0 else grey)


def levels(values: NDArray[Any], whites: Sequence[float], nodata: float | None = None) -> NDArray[np.uint8]:
    """Numbers of any kind as 0..255, same shape.  whites: what may be white, the smallest first; 0 is black.

    The first white that no value exceeds counts.  Where a value is negative or exceeds all of them, or 99.9 % lie in
    the darkest quarter, the percentiles 0.1 and 99.9 become black and white, and the rest is clipped.  A picture of
    one value keeps its white.  NaN, infinity, ``nodata`` and what is beyond 1e30 count as 0 and are left out of this.
    """
    absent = _absent(values, nodata)
    present = values[~absent] if absent is not None else values.reshape(-1)
    black, white = _range(present, whites) if present.size else (0.0, 1.0)
    scaled: NDArray[np.floating[Any]] = values.astype(np.float64 if values.dtype.itemsize > 4 else np.float32)
    if absent is not None:
        scaled[absent] = 0
    scaled -= black
    scaled *= 255 / ((white - black) or 1.0)
    np.rint(scaled.clip(0, 255, out=scaled), out=scaled)
    return scaled.astype(np.uint8)


def _absent(values: NDArray[Any], nodata: float | None) -> NDArray[np.bool_] | None:
    """Where no value is; None where all are there."""
    absent = np.zeros(values.shape, bool)
    if values.dtype.kind == "f":
        absent = ~(np.abs(values) <= min(_ABSENT, float(np.finfo(values.dtype).max)))  # also NaN
    if nodata is not None:
        with np.errstate(over="ignore"):
            absent |= values == nodata
    return absent if absent.any() else None


def _range(present: NDArray[Any], whites: Sequence[float]) -> tuple[float, float]:
    low, high = float(present.min()), float(present.max())
    usual = next((white for white in whites if low >= 0 and high <= white), None)
    if usual is not None and low == high:
        return 0.0, usual
    counted = present[:: 1 + present.size // _MOST_COUNTED]
    darkest, brightest = (float(p) for p in np.percentile(counted.astype(np.float64), (0.1, 99.9)))
    if usual is not None and brightest >= _DARK * usual:
        return 0.0, usual
    return (darkest, brightest) if brightest > darkest else (low, high)


def nodata_of(tags: Any) -> float | None:
    """The value that stands for none in a TIFF of GDAL; None where there is no such value."""
    try:
        value = float(tags.get(NODATA))
    except (TypeError, ValueError):
        return None
    return value if np.isfinite(value) else None
