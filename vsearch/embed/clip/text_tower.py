"""CLIP's and SigLIP's text towers in numpy: no torch is imported, and weights are read where they lie in their file.

A transformer with the norm before each block (Radford et al., 2021; Zhai et al., 2023).  Where a token sees only those
before it, what stands behind the end of a text changes nothing, so that it is not computed: a sentence of eight words
is ten tokens instead of 77.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vsearch.embed.batches import batches_by_length
from vsearch.embed.clip.activations import ACTIVATIONS, softmax
from vsearch.embed.clip.tensors import Weights
from vsearch.errors import EncoderError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

BATCH_TOKENS = 1024
FEW_ROWS, SMALL_PRODUCT = 24, 1 << 18


class Shape(NamedTuple):
    """The shape of a tower.

    causal: whether a token sees only those before it; then the vector of a text is that at its highest token, which is
    the end mark, else that at the last position.
    """

    context: int
    vocabulary: int
    width: int
    heads: int
    layers: int
    hidden: int
    causal: bool
    activation: str
    epsilon: float


class Block(NamedTuple):
    """The weights of a layer, as torch lays them out: (out, in)."""

    norm_in: tuple[Floats, Floats]
    mix_in: tuple[Floats, Floats]
    mix_out: tuple[Floats, Floats]
    norm_mlp: tuple[Floats, Floats]
    mlp_in: tuple[Floats, Floats]
    mlp_out: tuple[Floats, Floats]


class TextTower:
    """A text tower.  Thread-safe: nothing is written after construction."""

    def __init__(self, tensors: Weights, prefix: str, shape: Shape) -> None:
        """Map the weights, whose names begin with ``prefix``.  Raises EncoderError where they do not fit the shape."""

        def get(name: str, *sides: int) -> Floats:
            return tensors.floats(prefix + name, *sides)

        def pair(name: str, *sides: int) -> tuple[Floats, Floats]:
            return get(f"{name}.weight", *sides), get(f"{name}.bias", sides[0])

        width, hidden = shape.width, shape.hidden
        self.shape = shape
        self._act: Callable[[Floats], Floats] = ACTIVATIONS[shape.activation]
        # Of this one only the rows of the tokens in hand are read: it may have 256,000, and 2 bytes a number.
        self._words = tensors.stored(f"{prefix}token_embedding.weight")
        if self._words.shape != (shape.vocabulary, width):
            raise EncoderError(f"{tensors.path}: a vocabulary of {self._words.shape}, not of {shape.vocabulary} tokens")
        self._places = get("positional_embedding", shape.context, width)
        self._blocks = [
            Block(
                pair(f"transformer.resblocks.{n}.ln_1", width),
                (
                    get(f"transformer.resblocks.{n}.attn.in_proj_weight", 3 * width, width),
                    get(f"transformer.resblocks.{n}.attn.in_proj_bias", 3 * width),
                ),
                pair(f"transformer.resblocks.{n}.attn.out_proj", width, width),
                pair(f"transformer.resblocks.{n}.ln_2", width),
                pair(f"transformer.resblocks.{n}.mlp.c_fc", hidden, width),
                pair(f"transformer.resblocks.{n}.mlp.c_proj", width, hidden),
            )
            for n in range(shape.layers)
        ]
        self._norm_last = pair("ln_final", width)
        self._projection = _projection(tensors, prefix, width)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.shape.width if self._projection is None else self._projection[0].shape[1]

    def encode(self, tokens: Sequence[Sequence[int]]) -> Floats:
        """Tokens of texts to (n, dim) float32, of any length.

        tokens: of each text as many as there are, ``context`` at most; where the tower is not causal, just so many.
        Raises EncoderError for a token that the vocabulary does not have.
        """
        out = np.empty((len(tokens), self.dim), np.float32)
        texts = [self._needed(of_text) for of_text in tokens]
        for rows in batches_by_length([len(of_text) for of_text in texts], BATCH_TOKENS):
            out[rows] = self._together([texts[row] for row in rows])
        return out

    def encode_tokens(self, tokens: Sequence[Sequence[int]]) -> tuple[Floats, NDArray[np.bool_]]:
        """Tokens of texts to what they are before pooling, after the last norm; ``tokens`` as for ``encode``.

        Returns (n, longest, width) float32, zero behind the end of a text, and (n, longest) bool: where it has a token.
        A text ends with its end mark; where the tower is not causal nothing ends it, also not what pads it.
        Raises EncoderError as ``encode`` does.
        """
        texts = [self._needed(of_text) for of_text in tokens]
        longest = max(map(len, texts), default=0)
        out = np.zeros((len(texts), longest, self.shape.width), np.float32)
        there = np.arange(longest) < np.array([len(of_text) for of_text in texts], np.int64)[:, None]
        for rows in batches_by_length([len(of_text) for of_text in texts], BATCH_TOKENS):
            x, mask = self._embedded([texts[row] for row in rows])
            for block in self._blocks:
                x = self._mlp(block, x + self._attend(block, x, x, mask))
            out[rows, : x.shape[1]] = self._norm(x, *self._norm_last)
        out[~there] = 0
        return out, there

    def _needed(self, tokens: Sequence[int]) -> Sequence[int]:
        """The tokens that the vector depends on."""
        if self.shape.causal:
            return tokens[: int(np.argmax(tokens)) + 1]
        if len(tokens) != self.shape.context:
            raise EncoderError(f"a text of {len(tokens)} tokens for a tower that reads {self.shape.context}")
        return tokens

    def _embedded(self, texts: list[Sequence[int]]) -> tuple[Floats, Floats | None]:
        """What the first layer reads of texts by ascending length, (n, longest, width), and its mask."""
        length = len(texts[-1])
        ids = np.zeros((len(texts), length), np.int64)
        for row, of_text in enumerate(texts):
            ids[row, : len(of_text)] = of_text
        if ids.min() < 0 or ids.max() >= self.shape.vocabulary:
            raise EncoderError(f"a token beyond the {self.shape.vocabulary:,} of the vocabulary: another tokenizer")
        x = self._words[ids].astype(np.float32) + self._places[:length]
        mask = np.triu(np.full((length, length), -np.inf, np.float32), 1) if self.shape.causal else None
        return x, mask

    def _together(self, texts: list[Sequence[int]]) -> Floats:
        """Vectors of texts of about one length, by the length ascending."""
        x, mask = self._embedded(texts)
        for block in self._blocks[:-1]:
            x = self._mlp(block, x + self._attend(block, x, x, mask))
        # of the last layer only what becomes the vector
        rows, last = np.arange(len(texts)), np.array([len(of_text) - 1 for of_text in texts])
        end = x[rows, last][:, None]
        mask = mask[last][:, None, None] if mask is not None else None
        end = self._mlp(self._blocks[-1], end + self._attend(self._blocks[-1], end, x, mask))
        vectors = self._norm(end[:, 0], *self._norm_last)
        if self._projection is not None:
            vectors = vectors @ self._projection[0] + self._projection[1]
        return vectors

    def _attend(self, block: Block, queries: Floats, x: Floats, mask: Floats | None) -> Floats:
        """What tokens (n, q, width) take from tokens (n, length, width) of the same text, which ``queries`` are of.

        mask: added to the scores, (q, length) or (n, 1, q, length); None for none.
        """
        width, heads = self.shape.width, self.shape.heads
        weight, bias = block.mix_in
        normed = self._norm(x, *block.norm_in)
        if queries is x:
            q, k, v = np.split(_linear(normed, weight, bias), 3, axis=-1)
        else:
            q = _linear(self._norm(queries, *block.norm_in), weight[:width], bias[:width])
            k, v = np.split(_linear(normed, weight[width:], bias[width:]), 2, axis=-1)
        q, k, v = (part.reshape(len(x), part.shape[1], heads, width // heads).swapaxes(1, 2) for part in (q, k, v))
        scores = q @ k.swapaxes(-1, -2)
        scores *= np.float32((width // heads) ** -0.5)
        if mask is not None:
            scores += mask
        mixed = (softmax(scores) @ v).swapaxes(1, 2).reshape(len(x), -1, width)
        return _linear(mixed, *block.mix_out)

    def _mlp(self, block: Block, x: Floats) -> Floats:
        widened = _linear(self._norm(x, *block.norm_mlp), *block.mlp_in)
        return x + _linear(self._act(widened), *block.mlp_out)

    def _norm(self, x: Floats, weight: Floats, bias: Floats) -> Floats:
        x = x - x.mean(axis=-1, keepdims=True)
        x /= np.sqrt(
            np.einsum("...i,...i->...", x, x)[..., None] / np.float32(x.shape[-1]) + np.float32(self.shape.epsilon)
        )
        x *= weight
        x += bias
        return x


def _projection(tensors: Weights, prefix: str, width: int) -> tuple[Floats, Floats] | None:
    """The map to the joint space, (width, dim), and what is added; None where the tower has none.

    A bare matrix is laid out (in, out), a linear layer (out, in).
    """
    name = f"{prefix}text_projection"
    if name in tensors:
        matrix = tensors.floats(name)
        bias = np.float32(0) * matrix[0]
    elif f"{name}.weight" in tensors:
        matrix = tensors.floats(f"{name}.weight").T
        bias = tensors.floats(f"{name}.bias", matrix.shape[1])
    else:
        return None
    if matrix.ndim != 2 or len(matrix) != width:
        raise EncoderError(f"{tensors.path}: a projection of the shape {matrix.shape} for a tower {width} wide")
    return matrix, bias


def _linear(x: Floats, weight: Floats, bias: Floats) -> Floats:
    # one product of all rows is faster than a stack of small ones
    rows = x.reshape(-1, x.shape[-1])
    flat = rows @ weight.T if len(rows) > FEW_ROWS else _few(rows, weight)
    flat += bias
    return flat.reshape(*x.shape[:-1], len(weight))


def _few(rows: Floats, weight: Floats) -> Floats:
    """The product of a few rows (n, in) and a matrix (out, in), a part of the matrix at a time.

    It takes as long as reading the matrix does.  Of a large product OpenBLAS copies the parts first, which takes longer
    than that, and it wakes threads that then wait for each other; up to 262,144 multiplications it does neither.
    """
    columns = np.ascontiguousarray(rows.T)
    out = np.empty((len(weight), len(rows)), np.float32)
    step = max(8, SMALL_PRODUCT // columns.size)
    for at in range(0, len(weight), step):
        np.matmul(weight[at : at + step], columns, out=out[at : at + step])
    return np.ascontiguousarray(out.T)
