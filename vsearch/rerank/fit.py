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
    from vsearch.embed.patches import PatchEncoder

OnEpoch = Callable[[int, float], None]


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
    tokens, there = towers.encode_tokens([pairs.captions[t] for t in np.flatnonzero(kept)])
    tokens, there = tokens[:, :MOST_TOKENS], there[:, :MOST_TOKENS]
    means = tokens.sum(axis=1)
    vectors = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    owner = (np.cumsum(readable) - 1)[pairs.owner[kept]]
    return Examples(patches, tokens.astype(np.float16), there, owner, vectors.astype(np.float32))
