"""open_clip's own encoding of texts and pictures, as its manual shows it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Matrix = NDArray[np.float32]


class OpenClipTowers:
    """A model in a folder, in float32."""

    def __init__(self, folder: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import open_clip
            import torch

            self._torch = torch
            self._model, _, self._preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
            self._tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        self._model.eval()

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """(n, dim), unit length."""
        with self._torch.inference_mode():
            vectors: Matrix = self._model.encode_text(self._tokenizer(list(texts)), normalize=True).numpy()
        return vectors

    def encode_pixels(self, pixels: NDArray[np.uint8]) -> Matrix:
        """(n, dim), unit length, of pictures (n, side, side, 3) that are cut already."""
        config = self._model.visual.preprocess_cfg
        floats = (pixels / np.float32(255) - np.float32(config["mean"])) / np.float32(config["std"])
        return self._encode(self._torch.from_numpy(floats.astype(np.float32)).permute(0, 3, 1, 2))

    def encode_files(self, paths: Sequence[Path]) -> Matrix:
        """(n, dim), unit length, with open_clip's own preprocessing."""
        return self._encode(self._torch.stack([self._preprocess(Image.open(path)) for path in paths]))

    def _encode(self, pictures: object) -> Matrix:
        with self._torch.inference_mode():
            vectors: Matrix = self._model.encode_image(pictures, normalize=True).numpy()
        return vectors
