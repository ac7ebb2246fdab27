"""Labels as directions in the joint space, and the softmax over their cosines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vsearch import prompts
from vsearch.arguments import check_number
from vsearch.errors import EncoderError, QueryError
from vsearch.labels.reading import checked
from vsearch.types import Label

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.embed import Encoder

    Matrix = NDArray[np.float32]

TEMPERATURE = 0.01  # CLIP's learned one: its logit scale ends at 100, the most that it may be
_BATCH = 256


class Classifier:
    """Tells which of its labels a vector is nearest to (Radford et al. 2021, section 3.1, arXiv 2103.00020).

    directions: (labels, dim) float32 of unit length: the templates filled with the label, embedded, averaged and
    scaled to unit length.  The confidence of label i is softmax(cosines / temperature)_i: it tells how the labels
    compare with each other, not whether any of them fits.
    """

    def __init__(self, labels: Sequence[str], directions: Matrix, temperature: float = TEMPERATURE) -> None:
        check_number(temperature, "a temperature")
        if not (math.isfinite(temperature) and temperature > 0):
            raise QueryError(f"a temperature of {temperature}; it is a number above 0, as {TEMPERATURE}")
        self.labels = tuple(labels)
        self.directions = directions
        self.temperature = temperature
        self._logits: Matrix = directions / np.float32(temperature)

    @classmethod
    def of(
        cls,
        encoder: Encoder,
        labels: Sequence[str],
        *,
        templates: Sequence[str] | None = None,
        temperature: float | None = None,
    ) -> Classifier:
        """Embed labels: two or more texts, each put into every template (default: the bundled set ``photo``).

        temperature: default is what the encoder learned or was fitted to, else 0.01.
        Raises QueryError, EncoderError, EncoderUnavailable.
        """
        told = checked(labels)
        sentences = prompts.load() if templates is None else prompts.checked(templates, "templates")
        if temperature is None:
            temperature = encoder.temperature or TEMPERATURE
        return cls(told, directions(encoder.encode_texts, told, sentences), temperature)

    def confidences(self, vectors: Matrix) -> Matrix:
        """(n, dim) float32 unit vectors to (n, labels) float32 in [0, 1]; each row adds up to 1."""
        told: Matrix = vectors @ self._logits.T
        told -= told.max(axis=1, keepdims=True)
        np.exp(told, out=told)
        told /= told.sum(axis=1, keepdims=True)
        return told

    def best(self, vectors: Matrix, top: int, least: float = 0.0) -> tuple[NDArray[np.int64], Matrix]:
        """The likeliest labels of (n, dim) vectors, best first, equal ones in the order of the labels.

        Returns numbers of labels (n, top) int64 and their confidences (n, top) float32; -1 and 0 where fewer than
        ``top`` labels have a confidence of at least ``least``.
        """
        told = self.confidences(vectors)
        width = min(top, len(self.labels))
        chosen = np.argpartition(-told, width - 1, axis=1)[:, :width] if width < told.shape[1] else None
        if chosen is None:
            chosen = np.broadcast_to(np.arange(width), (len(told), width))
        shares = np.take_along_axis(told, chosen, 1)
        order = np.lexsort((chosen, -shares), axis=1)
        chosen, shares = np.take_along_axis(chosen, order, 1), np.take_along_axis(shares, order, 1)
        weak = shares < least
        return np.where(weak, -1, chosen).astype(np.int64), np.where(weak, np.float32(0), shares)

    def names(self, vectors: Matrix, top: int, least: float = 0.0) -> list[list[Label]]:
        """The same for each vector as labels with their confidence."""
        chosen, shares = self.best(vectors, top, least)
        return [
            [Label(self.labels[at], share) for at, share in zip(*row, strict=True) if at >= 0]
            for row in zip(chosen.tolist(), shares.tolist(), strict=True)
        ]


def directions(encode: Callable[[Sequence[str]], Matrix], labels: Sequence[str], templates: Sequence[str]) -> Matrix:
    """The mean of each label's sentences, scaled to unit length: (labels, dim) float32.

    Raises EncoderError when the sentences of a label cancel each other out.
    """
    sentences = [sentence for label in labels for sentence in prompts.fill(templates, label)]
    rows = np.concatenate([encode(sentences[at : at + _BATCH]) for at in range(0, len(sentences), _BATCH)])
    means = rows.reshape(len(labels), len(templates), -1).mean(axis=1)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    if (lengths < 1e-6).any():
        label = labels[int(np.argmin(lengths))]
        raise EncoderError(f"the sentences of the label {label!r} cancel each other out; use other templates")
    scaled: Matrix = (means / lengths).astype(np.float32)
    return scaled
