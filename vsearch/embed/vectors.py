"""What every encoder checks at its border: pixels coming in, unit vectors going out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vsearch.arguments import written
from vsearch.errors import EncoderError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.types import PixelSpec

TOLERANCE = 1e-4


def check_pixels(pixels: NDArray[np.uint8], spec: PixelSpec) -> None:
    """Raise EncoderError unless pixels is (n, size, size, 3) uint8."""
    wanted = (spec.size, spec.size, 3)
    if not isinstance(pixels, np.ndarray):
        raise EncoderError(
            f"The encoder wants pixels, an array of shape (n, {wanted[0]}, {wanted[1]}, 3) and type uint8, and was "
            f"given {written(pixels)}; files are read by Index.add and Index.search."
        )
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != wanted:
        raise EncoderError(
            f"The encoder wants pixels of shape (n, {wanted[0]}, {wanted[1]}, 3) and type uint8, "
            f"and was given {pixels.shape} {pixels.dtype}; decode pictures with the encoder's `preprocess`."
        )


def unit(rows: NDArray[np.floating], what: str) -> NDArray[np.float32]:
    """Scale each row of (n, dim) to unit length, as float32.

    what: ``pictures`` or ``texts``, for the message.
    Raises EncoderError when a row is not finite or is zero: such a vector would match nothing, for ever.
    """
    wide = np.asarray(rows, dtype=np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if bad.size:
        shown = ", ".join(map(str, bad[:5]))
        raise EncoderError(
            f"The encoder gave no usable vector for {bad.size} of {len(wide)} {what} (number {shown} of the "
            "batch): not finite, or of length zero. Run `vsearch doctor`, or use another encoder."
        )
    unit_rows: NDArray[np.float32] = (wide / lengths).astype(np.float32)
    assert np.all(np.abs(np.linalg.norm(unit_rows, axis=1) - 1) < TOLERANCE)
    return unit_rows
