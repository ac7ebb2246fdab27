"""From pairs of pictures and captions to a trained re-ranker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch

from vsearch.embed.patches import load_patches
from vsearch.errors import QueryError
from vsearch.evaluate.pairs import Pairs
from vsearch.rerank.model import MOST_TOKENS, Matcher, MatcherConfig
from vsearch.rerank.reranker import Reranker, read_patches
from vsearch.rerank.train import Examples, MatchTraining, train

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.embed.patches import PatchEncoder

OnEpoch = Callable[[int, float], None]

CAPTIONS = 1024  # whose tokens are held as float32 at a time


def fit_reranker(
    pairs: Pairs, encoder: str = "mini", options: MatchTraining | None = None, on_epoch: OnEpoch | None = None
) -> Reranker:
    """Train a re-ranker on the frozen towers of an encoder.

    Pictures that cannot be read are left out with their captions.  on_epoch: is told the number of each epoch, from 1,
    and its mean loss.  Memory: 30 kB a picture for mini.  The same seed gives the same weights on a CPU.
    Raises QueryError for too few pairs, EncoderError.
    """
    options = options or MatchTraining()
    towers = load_patches(encoder)
    examples = read_examples(pairs, towers)
    shape = examples.patches.codes.shape
    torch.manual_seed(options.seed)
    model = Matcher(MatcherConfig(towers.name, shape[1], shape[2], examples.tokens.shape[2]))
    train(model, examples, options, on_epoch)
    return Reranker(model, towers)


def read_examples(pairs: Pairs, towers: PatchEncoder) -> Examples:
    """Patches and tokens of the pairs that can be read.  Raises QueryError when there are none."""
    patches, failures = read_patches(pairs.paths, towers)
    if not len(patches):
        raise QueryError(f"none of {len(pairs.paths)} pictures can be read: {failures[0].reason}")
    lost = {failure.path for failure in failures}
    readable = np.array([path not in lost for path in pairs.paths])
    kept = readable[pairs.owner]
    owner = (np.cumsum(readable) - 1)[pairs.owner[kept]]
    tokens, there, vectors = _read_captions([pairs.captions[t] for t in np.flatnonzero(kept)], towers)
    return Examples(patches, tokens, there, owner, vectors)


def _read_captions(
    captions: list[str], towers: PatchEncoder
) -> tuple[NDArray[np.float16], NDArray[np.bool_], NDArray[np.float32]]:
    """Tokens of captions, where they are, and the mean of each caption's, scaled to unit length."""
    parts, flags, vectors = [], [], []
    for first in range(0, len(captions), CAPTIONS):
        tokens, there = towers.encode_tokens(captions[first : first + CAPTIONS])
        tokens, there = tokens[:, :MOST_TOKENS], there[:, :MOST_TOKENS]
        means = tokens.sum(axis=1)
        vectors.append(means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12))
        parts.append(tokens.astype(np.float16))
        flags.append(there)
    longest = max(part.shape[1] for part in parts)
    missing = [longest - part.shape[1] for part in parts]
    return (
        np.concatenate([np.pad(part, ((0, 0), (0, by), (0, 0))) for part, by in zip(parts, missing, strict=True)]),
        np.concatenate([np.pad(there, ((0, 0), (0, by))) for there, by in zip(flags, missing, strict=True)]),
        np.concatenate(vectors).astype(np.float32),
    )
