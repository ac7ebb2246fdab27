"""all-MiniLM-L6-v2, a BERT of six layers, in plain numpy.

A query from a cold start would spend seconds on importing torch and a fifth of that on everything else, so the
text tower does without it.  The architecture is BERT's (Devlin et al. 2019, arXiv 1810.04805) with post-layer
normalisation; a sentence's vector is the mean over its tokens (Reimers and Gurevych 2019, arXiv 1908.10084).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from vsearch.arguments import check_texts
from vsearch.embed.batches import batches_by_length
from vsearch.embed.weights import MINILM_TOKENIZER, MINILM_WEIGHTS, checked
from vsearch.errors import EncoderError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

DIM = 384
LAYERS = 6
MIDDLE = 4
HEADS = 12
MAX_TOKENS = 256
NORM_EPSILON = 1e-12
BATCH_TOKENS = 512


class MiniLM:
    """The text tower.  Thread-safe: weights are read only, and tokenising keeps no state."""

    def __init__(self) -> None:
        """Read the weights (90 MB, checked).  Raises EncoderUnavailable, EncoderError."""
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(checked(MINILM_TOKENIZER)))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        self._weights: dict[str, Floats] = load_file(checked(MINILM_WEIGHTS))

    def with_layers(self, layers: dict[str, Floats]) -> MiniLM:
        """The same tower with other weights of some names; what it does not change is shared.

        Raises EncoderError for a name or a shape that the tower does not have.
        """
        for name, weight in layers.items():
            if name not in self._weights or self._weights[name].shape != weight.shape:
                raise EncoderError(f"The text tower has no weights {name} of shape {weight.shape}.")
        other = copy.copy(self)
        other._weights = {**self._weights, **layers}
        return other

    def encode(self, texts: Sequence[str]) -> tuple[Floats, Floats]:
        """Mean token vectors of texts after the fourth layer and after the last: (n, 384) float32 each.

        Not normalised.  Texts beyond 256 tokens are cut.
        """
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(check_texts(texts))]
        middle, last = np.empty((2, len(tokens), DIM), dtype=np.float32)
        for rows in batches_by_length([len(ids) for ids in tokens], BATCH_TOKENS):
            layers, mask = self._hidden([tokens[row] for row in rows])
            middle[rows], last[rows] = _mean(layers[MIDDLE], mask), _mean(layers[-1], mask)
        return middle, last

    def encode_tokens(self, texts: Sequence[str], layer: int = LAYERS) -> tuple[Floats, NDArray[np.bool_]]:
        """Vectors of each token after a layer: (n, length, 384) float32, and (n, length) bool, False behind its end."""
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(check_texts(texts))]
        longest = max(map(len, tokens), default=0)
        hidden = np.zeros((len(tokens), longest, DIM), dtype=np.float32)
        there = np.zeros((len(tokens), longest), dtype=np.bool_)
        for rows in batches_by_length([len(ids) for ids in tokens], BATCH_TOKENS):
            layers, mask = self._hidden([tokens[row] for row in rows])
            width = mask.shape[1]
            hidden[rows, :width], there[rows, :width] = layers[layer] * mask[..., None], mask
        return hidden, there

    def _hidden(self, tokens: list[list[int]]) -> tuple[list[Floats], NDArray[np.bool_]]:
        """What each layer makes of the tokens, and which of them are no padding."""
        ids, mask = _padded(tokens)
        layers = [self._embed(ids)]
        # what is padding gets a score so low that it takes no part in the softmax
        shut_out = np.where(mask, np.float32(0), np.float32(-1e9))[:, None, None, :]
        for layer in range(LAYERS):
            layers.append(self._layer(f"encoder.layer.{layer}.", layers[-1], shut_out))
        return layers, mask

    def _embed(self, ids: NDArray[np.int64]) -> Floats:
        w = self._weights
        words = w["embeddings.word_embeddings.weight"][ids]
        positions = w["embeddings.position_embeddings.weight"][: ids.shape[1]]
        return self._norm("embeddings.", words + positions + w["embeddings.token_type_embeddings.weight"][0])

    def _layer(self, name: str, hidden: Floats, shut_out: Floats) -> Floats:
        attended = self._linear(f"{name}attention.output.dense", self._attend(name, hidden, shut_out))
        hidden = self._norm(f"{name}attention.output.", hidden + attended)
        widened = gelu(self._linear(f"{name}intermediate.dense", hidden))
        return self._norm(f"{name}output.", hidden + self._linear(f"{name}output.dense", widened))

    def _attend(self, name: str, hidden: Floats, shut_out: Floats) -> Floats:
        n, length, _ = hidden.shape
        q, k, v = (
            self._linear(f"{name}attention.self.{part}", hidden).reshape(n, length, HEADS, DIM // HEADS).swapaxes(1, 2)
            for part in ("query", "key", "value")
        )
        scores = q @ k.swapaxes(-1, -2) / np.sqrt(np.float32(DIM // HEADS)) + shut_out
        mixed: Floats = softmax(scores) @ v
        return mixed.swapaxes(1, 2).reshape(n, length, DIM)

    def _linear(self, name: str, x: Floats) -> Floats:
        weight = self._weights[f"{name}.weight"]
        # one big product is faster than a stack of small ones
        flat = x.reshape(-1, x.shape[-1]) @ weight.T + self._weights[f"{name}.bias"]
        out: Floats = flat.reshape(*x.shape[:-1], len(weight))
        return out

    def _norm(self, name: str, x: Floats) -> Floats:
        x = x - x.mean(axis=-1, keepdims=True)
        x /= np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(NORM_EPSILON))
        x *= self._weights[f"{name}LayerNorm.weight"]
        x += self._weights[f"{name}LayerNorm.bias"]
        return x


def _mean(hidden: Floats, mask: NDArray[np.bool_]) -> Floats:
    weight = mask[..., None].astype(np.float32)
    total: Floats = (hidden * weight).sum(axis=1)
    total /= weight.sum(axis=1)
    return total


def _padded(tokens: list[list[int]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    ids = np.zeros((len(tokens), max(map(len, tokens))), dtype=np.int64)
    mask = np.zeros(ids.shape, dtype=np.bool_)
    for row, of_text in enumerate(tokens):
        ids[row, : len(of_text)] = of_text
        mask[row, : len(of_text)] = True
    return ids, mask


def softmax(x: Floats) -> Floats:
    """Softmax over the last axis."""
    powers: Floats = np.exp(x - x.max(axis=-1, keepdims=True))
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers


def gelu(x: Floats) -> Floats:
    """Gaussian error linear unit, x * Phi(x), with Phi the normal distribution.

    numpy has no erf: Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7.
    """
    z = np.abs(x) * np.float32(np.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.float32(1.061405429) * t
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(coefficient)) * t
    erf = np.copysign(1 - series * np.exp(-z * z), x)
    half: Floats = np.float32(0.5) * x * (1 + erf)
    return half
