"""What open_clip itself says of pictures and texts, and plain loops over it: the truth for tests of CLIPs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_families import normalised, whole
from PIL import Image

from vsearch import prompts

# one of each kind of tower: what sets the others of ``clip_families.FAMILIES`` apart is in their vectors alone
KINDS = ("CLIP", "RN50", "SigLIP", "ConvNeXt", "XLM-RoBERTa")


def squashed(paths: Sequence[Path], side: int) -> np.ndarray:
    """Pixels of pictures, (n, side, side, 3) uint8, by Pillow alone."""
    opened = [Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BICUBIC) for path in paths]
    return np.stack([np.asarray(picture) for picture in opened])


@contextmanager
def no_bfloat16() -> Iterator[None]:
    """Picture towers of float32: whether bfloat16 pays is found by a race, which depends on what else runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
        yield


class Truth:
    """open_clip's unit vectors of some pictures and of texts, and the scale of its logits."""

    def __init__(self, model: Path, paths: Sequence[Path]):
        self.network, self._tokenizer = whole(model)
        self.side = int(np.max(self.network.visual.preprocess_cfg["size"]))
        self.paths = list(paths)
        self.xi = self.pictures(squashed(self.paths, self.side))
        self.scale = math.exp(float(self.network.logit_scale.detach()))

    def pictures(self, pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return self.network.encode_image(normalised(pixels), normalize=True).numpy()

    def texts(self, texts: Iterable[str]) -> np.ndarray:
        with torch.inference_mode():
            return self.network.encode_text(self._tokenizer(list(texts)), normalize=True).numpy()

    def labels(self, labels: Sequence[str]) -> np.ndarray:
        """Mean of each label's sentences, of unit length."""
        means = np.stack(
            [self.texts([t.replace("{}", label) for t in prompts.load()]).mean(axis=0) for label in labels]
        )
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    def shares(self, labels: Sequence[str]) -> np.ndarray:
        """(pictures, labels): the softmax of the scaled cosines."""
        logits = np.float64(self.scale) * self.xi @ self.labels(labels).T
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


def close(a: np.ndarray, b: np.ndarray) -> None:
    """Rows agree: a cosine of 0.9999 at least."""
    a, b = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (np.float64(a), np.float64(b)))
    assert (a * b).sum(axis=1).min() >= 0.9999
