"""The towers of an open_clip model before they pool: the last block's patch tokens and text tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vsearch.arguments import check_texts
from vsearch.embed.network import normalised, run, torch_errors
from vsearch.embed.openclip import OpenClip
from vsearch.embed.vectors import check_pixels
from vsearch.types import PixelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]


class OpenClipPatches:
    """Patches and tokens of one of open_clip's models.  Thread-safe."""

    def __init__(self, name: str, device: str | None = None) -> None:
        """name: as for ``OpenClip``."""
        self._encoder = OpenClip(name, device)

    @property
    def name(self) -> str:
        """Of the encoder.  Raises EncoderError, EncoderUnavailable."""
        return self._encoder.info.name

    @property
    def digest(self) -> str:
        """The encoder's fingerprint.  Raises EncoderError, EncoderUnavailable."""
        return self._encoder.info.digest

    @property
    def preprocess(self) -> PixelSpec:
        """The geometry of the model's own preprocessing."""
        return self._encoder.preprocess

    def encode_patches(self, pixels: NDArray[np.uint8]) -> Matrix:
        """Embed as (n, patches, width) float32.  Raises EncoderError, EncoderUnavailable."""
        model = self._encoder.loaded
        check_pixels(pixels, model.info.preprocess)
        pictures = model.pictures
        device, dtype = pictures.placement.device, pictures.placement.dtype

        def forward(chunk: NDArray[np.uint8]) -> torch.Tensor:
            image = normalised(chunk, device, dtype, pictures.mean, pictures.std)
            told = model.network.visual.forward_intermediates(
                image, indices=1, intermediates_only=True, output_fmt="NLC", normalize_intermediates=True
            )
            patches: torch.Tensor = told["image_intermediates"][-1]
            return patches

        return run(forward, pixels, device, model.network.visual)

    def encode_tokens(self, texts: Sequence[str]) -> tuple[Matrix, NDArray[np.bool_]]:
        """Embed as (n, context, width) float32 and where there is a token, (n, context) bool.

        Raises EncoderError, EncoderUnavailable.
        """
        model = self._encoder.loaded
        device = model.pictures.placement.device
        with torch_errors():
            ids = model.tokenizer(check_texts(texts))
        there = (ids != _padding(model.tokenizer)).numpy()

        def forward(chunk: torch.Tensor) -> torch.Tensor:
            told = model.network.forward_intermediates(
                text=chunk.to(device), text_indices=1, normalize_intermediates=True, intermediates_only=True
            )
            tokens: torch.Tensor = told["text_intermediates"][-1]
            return tokens

        rows = run(forward, ids, device, model.network)
        return rows * there[..., None], there


def _padding(tokenizer: Any) -> int:
    """The id behind the end of a text: 0 in open_clip's own tokenizer, told by those of transformers."""
    inner = getattr(tokenizer, "tokenizer", None)
    told = getattr(inner, "pad_token_id", None)
    return 0 if told is None else int(told)
