"""Two linear towers over rows of numbers: a trainee small enough to be checked by hand, for tests of the trainer."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from vsearch.train.gradcache import Batch


class PlainTowers:
    """Linear maps of (n, 6) pictures and (n, 5) captions to (n, 4), after dropout where it is asked for."""

    def __init__(self, seed: int = 0, dtype: torch.dtype = torch.float64, bias: bool = False, dropout: float = 0.0):
        random = np.random.default_rng(seed)

        def drawn(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.tensor(random.normal(size=shape), dtype=dtype))

        self.module = nn.Module()
        self.module.image, self.module.text = drawn(6, 4), drawn(5, 4)
        self.module.scale = nn.Parameter(torch.tensor(math.log(8.0), dtype=dtype))
        if bias:
            self.module.bias = nn.Parameter(torch.tensor(-2.0, dtype=dtype))
        self.dropout = nn.Dropout(dropout)

    @property
    def scale(self) -> torch.Tensor:
        return self.module.scale

    @property
    def bias(self) -> torch.Tensor | None:
        return getattr(self.module, "bias", None)

    def encode_images(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.dropout(inputs) @ self.module.image)

    def encode_texts(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.dropout(inputs) @ self.module.text)

    def gradients(self) -> dict[str, torch.Tensor]:
        return {name: p.grad.clone() for name, p in self.module.named_parameters()}


def drawn_batch(n: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Batch:
    """Random rows; every fifth pair is another caption of the picture before it, every seventh repeats a caption."""
    random = np.random.default_rng(seed)
    pictures, captions = np.arange(n), np.arange(n)
    pictures[4::5] = pictures[3 : 3 + len(pictures[4::5]) * 5 : 5][: len(pictures[4::5])]
    captions[6::7] = captions[0]
    rows = (torch.tensor(random.normal(size=(n, width)), dtype=dtype) for width in (6, 5))
    return Batch(*rows, torch.from_numpy(pictures), torch.from_numpy(captions))
