"""The towers before they pool: a vector for each patch of a picture and for each token of a text.

A joint embedding keeps one vector of a whole picture, in which "red" and "apple" are there but not which red thing it
was.  The patches still know, and a re-ranker reads them.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from vsearch.embed import colours, known
from vsearch.embed.load import BUNDLED, has_heads, resolve
from vsearch.embed.vectors import check_pixels
from vsearch.embed.weights import LITE2_WEIGHTS, combined
from vsearch.errors import EncoderError
from vsearch.types import PixelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.embed.lite2 import Features
    from vsearch.embed.minilm import MiniLM

    Matrix = NDArray[np.float32]

COLOUR_CHUNK = 16


class PatchEncoder(Protocol):
    """Two towers, unpooled.  Construction is cheap: weights are loaded by the first call."""

    @property
    def name(self) -> str:
        """Of the encoder whose towers these are."""

    @property
    def digest(self) -> str:
        """Changes with anything that changes the patches: kept ones are found by it."""

    @property
    def preprocess(self) -> PixelSpec:
        """The geometry that ``encode_patches`` wants."""

    def encode_patches(self, pixels: NDArray[np.uint8]) -> Matrix:
        """Pictures (n, size, size, 3) uint8 to (n, patches, width) float32, patches row by row from the top left."""

    def encode_tokens(self, texts: Sequence[str]) -> tuple[Matrix, NDArray[np.bool_]]:
        """Texts to (n, length, width) float32, zero behind the end, and (n, length) bool: where there is a token."""


class MiniPatches:
    """The towers of ``mini``: 9 x 9 cells of EfficientNet-Lite2, and the tokens of MiniLM.  Thread-safe.

    A cell has the 352 numbers that the classifier's last convolution reads, and the shares of eleven colours, since a
    classifier forgets those.
    """

    name = "mini"
    preprocess = PixelSpec(size=260, resize="squash", interpolation="bicubic")
    digest = combined([LITE2_WEIGHTS.sha256, repr(preprocess), repr(colours.PALETTE)])

    def __init__(self, device: str | None = None) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._features: Features | None = None
        self._text: MiniLM | None = None

    def encode_patches(self, pixels: NDArray[np.uint8]) -> Matrix:
        """Embed as (n, 81, 363) float32.  Raises EncoderError, EncoderUnavailable."""
        from vsearch.embed.lite2 import CELLS, Features

        check_pixels(pixels, self.preprocess)
        with self._lock:
            if self._features is None:
                self._features = Features(self._device)
        cells = self._features.cells(pixels)
        tints = [colours.of_cells(pixels[at : at + COLOUR_CHUNK], CELLS) for at in range(0, len(pixels), COLOUR_CHUNK)]
        return np.concatenate([cells, np.concatenate(tints).reshape(len(pixels), CELLS**2, -1)], axis=2)

    def encode_tokens(self, texts: Sequence[str]) -> tuple[Matrix, NDArray[np.bool_]]:
        """Embed as (n, length, 384) float32.  Raises EncoderError, EncoderUnavailable."""
        from vsearch.embed.minilm import MiniLM

        with self._lock:
            if self._text is None:
                self._text = MiniLM()
        return self._text.encode_tokens(texts)


def load_patches(name: str, device: str | None = None) -> PatchEncoder:
    """The unpooled towers of an encoder that the user names.

    Raises EncoderError for one whose towers cannot be opened.
    """
    full = resolve(name)[0]
    known.note(full)
    if full in BUNDLED or has_heads(full):  # heads are trained over frozen towers
        return MiniPatches(device)
    if full.startswith(("openclip:", "hf-hub:", "local-dir:")):
        from vsearch.embed.openclip_patches import OpenClipPatches

        return OpenClipPatches(full, device)
    raise EncoderError(f"the encoder {name!r} has no patches to read; use mini or a model of open_clip")
