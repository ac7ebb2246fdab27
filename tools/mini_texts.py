"""Texts as the layers of `mini`'s text tower that stay as they are see them, kept in a folder between runs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsearch.embed.mini import Mini
from vsearch.embed.minilm import DIM, MIDDLE

Numbers = NDArray[np.int64]
AT_ONCE = 1000


@dataclass(frozen=True)
class Texts:
    """tokens: of all texts, one text after another, after the middle layer, (tokens, 384) float16.

    lengths: tokens of each text, (n,) int64.  features: what heads are given of a text where no layer is trained,
    (n, 768) float32.
    """

    tokens: NDArray[np.float16]
    lengths: Numbers
    features: Tensor

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def _starts(self) -> Numbers:
        return np.cumsum(self.lengths) - self.lengths

    def padded(self, numbers: Numbers) -> tuple[Tensor, Tensor]:
        """Tokens of some texts, (n, length, 384) float32, and (n, length) bool, False where a text has ended."""
        lengths = self.lengths[numbers]
        there = np.arange(lengths.max()) < lengths[:, None]
        tokens = np.zeros((*there.shape, DIM), dtype=np.float32)
        starts = self._starts[numbers]
        tokens[there] = self.tokens[np.concatenate([np.arange(s, s + n) for s, n in zip(starts, lengths, strict=True)])]
        return torch.from_numpy(tokens), torch.from_numpy(there)


def read(towers: Mini, name: str, texts: Sequence[str], cache: Path) -> Texts:
    """Read texts, or take what an earlier run kept of the very same."""
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    kept = cache / f"{name}-{digest[:12]}.tokens.npz"
    if not kept.is_file():
        tokens, lengths, features = [], [], []
        for at in range(0, len(texts), AT_ONCE):
            some = texts[at : at + AT_ONCE]
            padded, there = towers.text_tower().encode_tokens(some, MIDDLE)
            tokens.append(padded[there].astype(np.float16))
            lengths.append(there.sum(axis=1))
            features.append(np.concatenate(towers.read(some), axis=1))
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(
            kept, tokens=np.concatenate(tokens), lengths=np.concatenate(lengths), features=np.concatenate(features)
        )
    with np.load(kept) as told:
        return Texts(told["tokens"], told["lengths"].astype(np.int64), torch.from_numpy(told["features"]))
