"""What every encoder is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vsearch.types import EncoderInfo, PixelSpec


class Encoder(Protocol):
    """Two towers into one joint space.  Construction is cheap: weights are loaded by the first call."""

    @property
    def info(self) -> EncoderInfo:
        """Name, fingerprint and dimension."""

    @property
    def preprocess(self) -> PixelSpec:
        """The geometry that ``encode_images`` wants."""

    @property
    def temperature(self) -> float | None:
        """What cosines are divided by before a softmax over texts, as learned in training; None where nothing was."""

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed pictures.

        pixels: (n, size, size, 3) uint8, upright sRGB.  Returns (n, dim) float32 of unit length.
        Raises EncoderError, EncoderUnavailable.
        """

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts.  Returns (n, dim) float32 of unit length.  Raises EncoderError, EncoderUnavailable."""
