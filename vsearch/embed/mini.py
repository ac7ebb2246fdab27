"""The bundled encoder ``mini``: needs no network and no training, ever.

A text's vector is its MiniLM sentence vector.  A picture's vector is the mean of the sentence vectors of the
ImageNet class names, weighted by what a classifier sees in it:

    p = softmax(logits / 2);  v = sum of p_c * t_c over the 50 likeliest classes c;  v / |v|

where t_c is the unit vector of class name c.  (Convex combination of semantic embeddings: Norouzi et al. 2014,
arXiv 1312.5650.)  The colour of what the classifier looks at is added to it: see ``colours``.
It knows things that ImageNet names, and their colours; it does not know people, actions, counts or relations.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vsearch.embed import colours, minilm
from vsearch.embed.classnames import imagenet_classnames
from vsearch.embed.classvectors import class_vectors
from vsearch.embed.vectors import check_pixels, unit
from vsearch.embed.weights import MINI_FILES, combined
from vsearch.types import EncoderInfo, PixelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.embed.lite2 import Lite2

TEMPERATURE = 2.0
# Of 1,000 pictures of 100 classes of Caltech-101 the likelihood of the right label is highest at this
# (benchmarks/suites/labels.py).
LABEL_TEMPERATURE = 0.05
TOP = 50
COLOUR_CHUNK = 16
PICTURE_FEATURES = 1280 + 856
"""What heads are given of a picture: means of the last feature map, and of those after the stages before it."""
TEXT_FEATURES = minilm.DIM
"""And of a text: the mean of its tokens in the middle of the tower."""


class Mini:
    """MiniLM for texts, EfficientNet-Lite2 over its class names for pictures.  Thread-safe.

    A text needs numpy only; torch is imported when the first picture comes.
    """

    preprocess = PixelSpec(size=260, resize="squash", interpolation="bicubic")
    temperature = LABEL_TEMPERATURE

    def __init__(self, device: str | None = None) -> None:
        self._device = device
        self._lock = threading.RLock()
        self._text: minilm.MiniLM | None = None
        self._image: tuple[Lite2, NDArray[np.float32], NDArray[np.float32]] | None = None

    @cached_property
    def info(self) -> EncoderInfo:
        """Name, fingerprint and dimension; the pinned checksums stand for the weights, which are not read."""
        weights = combined([file.sha256 for file in MINI_FILES])
        settings = {
            "mean": 127,
            "std": 128,
            "temperature": TEMPERATURE,
            "top": TOP,
            "classes": hashlib.sha256("\n".join(imagenet_classnames()).encode()).hexdigest(),
            "max_tokens": minilm.MAX_TOKENS,
            "colours": {"strength": colours.STRENGTH, "palette": colours.PALETTE, "nouns": colours.NOUNS},
        }
        return EncoderInfo("mini:untrained", weights, minilm.DIM, self.preprocess, settings)

    @property
    def precision(self) -> str:
        """Precision of the image tower on this machine and why, in words; loads the tower."""
        return self._image_tower()[0].precision

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts as (n, 384) float32 unit vectors.  Raises EncoderError, EncoderUnavailable."""
        return self.read(texts)[1]

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed (n, 260, 260, 3) uint8 pictures as (n, 384) float32 unit vectors.

        Raises EncoderError, EncoderUnavailable.
        """
        return self.look(pixels)[1]

    def read(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What heads are given of texts beside their vectors, (n, 384), and the vectors, as ``encode_texts``.

        Raises EncoderError, EncoderUnavailable.
        """
        middle, last = self.text_tower().encode(texts)
        return middle, unit(last, "texts")

    def look(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What heads are given of pictures beside their vectors, (n, 2136), and the vectors, as ``encode_images``.

        Raises EncoderError, EncoderUnavailable.
        """
        check_pixels(pixels, self.preprocess)
        if not len(pixels):
            return np.zeros((0, PICTURE_FEATURES), dtype=np.float32), np.zeros((0, minilm.DIM), dtype=np.float32)
        classifier, names, tints = self._image_tower()
        seen = classifier.look(pixels)
        tinted = np.concatenate(
            [
                colours.shares(pixels[at : at + COLOUR_CHUNK], seen.attention[at : at + COLOUR_CHUNK]) @ tints
                for at in range(0, len(pixels), COLOUR_CHUNK)
            ]
        )
        named = unit(mixed(seen.logits, names), "pictures")
        features = np.concatenate([seen.pooled, seen.stages], axis=1)
        return features, unit(named + np.float32(colours.STRENGTH) * tinted, "pictures")

    def text_tower(self) -> minilm.MiniLM:
        """MiniLM, read by the first use.  Raises EncoderError, EncoderUnavailable."""
        with self._lock:
            if self._text is None:
                self._text = minilm.MiniLM()
            return self._text

    def _image_tower(self) -> tuple[Lite2, NDArray[np.float32], NDArray[np.float32]]:
        with self._lock:
            if self._image is None:
                from vsearch.embed.lite2 import Lite2

                self._image = Lite2(self._device), *class_vectors(self.encode_texts)
            return self._image


def mixed(logits: NDArray[np.float32], names: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability-weighted mean of class vectors: (n, classes) and (classes, dim) to (n, dim), not normalised.

    The weights are not scaled to sum to one: the length of the result has no meaning.
    """
    scaled = logits / np.float32(TEMPERATURE)
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    least = np.partition(weights, -TOP, axis=1)[:, -TOP][:, None]
    kept: NDArray[np.float32] = np.where(weights >= least, weights, np.float32(0)) @ names
    return kept
