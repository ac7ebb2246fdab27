"""The towers of an open_clip model before they pool: the last layer's patches and text tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vsearch.arguments import check_texts
from vsearch.embed.openclip import OpenClip
from vsearch.embed.vectors import check_pixels
from vsearch.types import PixelSpec

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]
    Flags = NDArray[np.bool_]


class OpenClipPatches:
    """Patches and tokens of one of open_clip's models, of plain towers without open_clip.  Thread-safe."""

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
        """Embed as (n, patches, width) float32; of a residual network the places of its last stage.

        Raises EncoderError, also for a tower whose patches are not to be had; EncoderUnavailable.
        """
        from vsearch.embed.clip import unpooled
        from vsearch.embed.network import normalised, run

        check_pixels(pixels, self.preprocess)
        pictures = self._encoder.pictures
        device, dtype, visual = pictures.placement.device, pictures.placement.dtype, pictures.network.visual

        def forward(chunk: NDArray[np.uint8]) -> torch.Tensor:
            image = normalised(chunk, device, dtype, pictures.mean, pictures.std)
            if hasattr(visual, "unpooled"):
                patches: torch.Tensor = visual.unpooled(image)
                return patches
            return unpooled.patches(visual, image)

        return run(forward, pixels, device, visual)

    def encode_tokens(self, texts: Sequence[str]) -> tuple[Matrix, Flags]:
        """Embed as (n, longest, width) float32 and where there is a token, (n, longest) bool, from the first one on.

        Raises EncoderError, also for a tower whose tokens are not to be had; EncoderUnavailable.
        """
        side = self._encoder.text_side(len(texts))
        if side is None and texts:
            return _packed(*self._by_open_clip(texts))
        if side is None:
            return np.zeros((0, 0, 0), np.float32), np.zeros((0, 0), np.bool_)
        ids = side.tokens(texts)
        rows, there = side.tower.encode_tokens(ids)
        return _packed(rows, there if side.pad is None or not ids else np.array(ids) != side.pad)

    def _by_open_clip(self, texts: Sequence[str]) -> tuple[Matrix, Flags]:
        from vsearch.embed.clip import unpooled
        from vsearch.embed.network import run, torch_errors

        model = self._encoder.loaded
        device = model.pictures.placement.device
        with torch_errors():
            ids = model.tokenizer(check_texts(texts))
        rows = run(lambda chunk: unpooled.tokens(model.network, chunk.to(device)), ids, device, model.network)
        return rows, unpooled.present(model.tokenizer, ids).numpy()


def _packed(rows: Matrix, there: Flags) -> tuple[Matrix, Flags]:
    """Tokens that are there moved to the front, the rest zero, as many as the longest text has.

    An empty text keeps its first token, since nothing can be said of no token at all.
    """
    there = there.copy()
    there[~there.any(axis=1), :1] = True
    order = np.argsort(~there, axis=1, kind="stable")[:, : there.sum(axis=1).max(initial=0)]
    there = np.take_along_axis(there, order, 1)
    return np.take_along_axis(rows, order[..., None], 1) * there[..., None], there
