"""Training the matcher: a binary loss on captions that are true of a picture and on others that are not.

What is false comes from easy to hard in one batch: captions of any other pictures, with which the matcher learns where
in a picture a word is, and captions that read almost alike, which cannot be told apart before that.  Hard captions are
those of other pictures whose text vectors are nearest: for "a red apple and a green banana" the first is "a green apple
and a red banana".  They are found once, before the first step, with the text tower alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from vsearch.errors import QueryError
from vsearch.kernels import topk
from vsearch.rerank.model import Matcher
from vsearch.rerank.tokens import Tokens
from vsearch.train.schedule import factor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

SAME = 1 - 1e-4  # cosine from which two captions are one sentence
_BLOCK = 1024


@dataclass(frozen=True)
class MatchTraining:
    """How to train.

    epochs: passes over the captions; None: as many as show 40,000 of them, and at least two.  batch: captions in a
    step, each with its picture.  Small batches learn faster here: what is learnt first is learnt in steps, not in
    examples.  lr: twice 1e-3, as for anything small that starts from nothing; warmed up over a twentieth of the steps,
    then a cosine.  nearest: a near caption is one of so many.  others: captions of the same batch that each picture is
    also asked about; they cost little, since their tokens are read already.  apart: weight of the loss by which the
    true caption must beat the nearest false one.
    """

    epochs: int | None = None
    batch: int = 32
    lr: float = 2e-3
    weight_decay: float = 0.05
    nearest: int = 16
    others: int = 4
    apart: float = 0.5
    seed: int = 0
    warm_up: float = 0.05

    def passes(self, captions: int) -> int:
        """How many epochs so many captions are shown for."""
        return self.epochs or max(2, math.ceil(40_000 / captions))


@dataclass(frozen=True)
class Examples:
    """What is trained on.

    patches: (ni) pictures.  tokens: (nt, length, width) float16 and there: (nt, length), captions.  owner: (nt,).
    vectors: (nt, dim) unit text vectors, to find hard captions with.
    """

    patches: Tokens
    tokens: NDArray[np.float16]
    there: NDArray[np.bool_]
    owner: Ids
    vectors: Matrix


def hard_captions(vectors: Matrix, owner: Ids, count: int) -> Ids:
    """For each caption the ``count`` nearest of other pictures, nearest first: (nt, count) rows.

    A caption with the same vector is the same sentence, so it is true of the picture and left out.
    Raises QueryError when there are too few.
    """
    depth = count + int(np.bincount(owner).max()) + 8
    if len(vectors) <= depth:
        raise QueryError(f"{len(vectors)} captions are too few to find {count} hard ones for each; give more pairs")
    rows = [(np.arange(len(vectors)), vectors.astype(np.float16))]
    found = []
    for first in range(0, len(vectors), _BLOCK):
        part = slice(first, first + _BLOCK)
        scores, near = topk(vectors[part], rows, depth)
        fits = (owner[near] == owner[part, None]) | (scores > SAME)
        order = np.argsort(fits, axis=1, kind="stable")[:, :count]
        found.append(np.take_along_axis(near, order, 1))
    return np.concatenate(found)


def train(
    model: Matcher, examples: Examples, options: MatchTraining, on_epoch: Callable[[int, float], None] | None = None
) -> None:
    """Train in place.  on_epoch: is told the number of the epoch that ended, from 1, and its mean loss.

    Raises QueryError when a loss is not a number.
    """
    rng = np.random.default_rng(options.seed)
    hard = hard_captions(examples.vectors, examples.owner, options.nearest)
    _set_scale(model, examples.patches)
    optimiser = torch.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=options.weight_decay)
    per_epoch = math.ceil(len(examples.owner) / options.batch)
    epochs = options.passes(len(examples.owner))
    steps = per_epoch * epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: factor(step, steps, options.warm_up))
    model.train()
    for epoch in range(1, epochs + 1):
        total = 0.0
        for captions in _batches(rng, len(examples.owner), options.batch):
            loss = _loss(model, examples, captions, _drawn(rng, captions, hard, options.others), options.apart)
            if not torch.isfinite(loss):
                raise QueryError(
                    f"the loss is not a number in epoch {epoch}; train with a lower rate than {options.lr}"
                )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
        if on_epoch is not None:
            on_epoch(epoch, total / per_epoch)
    model.eval()


def _batches(rng: np.random.Generator, count: int, size: int) -> Iterator[Ids]:
    order = rng.permutation(count)
    yield from (order[first : first + size] for first in range(0, count, size))


def _drawn(rng: np.random.Generator, captions: Ids, hard: Ids, others: int) -> Ids:
    """Captions to ask each picture of a batch about, (n, 2 + others) rows: the nearest, a near one, others' own."""
    near = hard[captions, rng.integers(0, hard.shape[1], len(captions))]
    turned = [np.roll(captions, shift) for shift in rng.integers(1, max(len(captions), 2), others)]
    return np.stack([hard[captions, 0], near, *turned], axis=1)


def _loss(model: Matcher, examples: Examples, captions: Ids, false: Ids, apart: float) -> torch.Tensor:
    """Binary cross-entropy, half of it for true captions and half for false ones, of those half for the nearest.

    A picture of the batch may have several of the captions that are asked about; what is true of it is never false.
    """
    asked = np.concatenate([captions[:, None], false], axis=1)
    vectors = examples.vectors[asked]
    same = np.einsum("ncd,nd->nc", vectors, vectors[:, 0]) > SAME
    true = torch.from_numpy(same | (examples.owner[asked] == examples.owner[captions, None]))
    scores = _scores(model, examples, asked)
    losses = functional.binary_cross_entropy_with_logits(scores, true.float(), reduction="none")
    weight = scores.new_full(asked.shape, 0.25 / (asked.shape[1] - 2))
    weight[:, 0], weight[:, 1] = 0.5, 0.25
    margin = functional.softplus(scores[:, 1] - scores[:, 0])
    return ((losses * weight).sum() + apart * margin.sum()) / len(captions)


def _scores(model: Matcher, examples: Examples, asked: Ids) -> torch.Tensor:
    """Logits of the captions asked about, (n, c) rows, each row for the picture of its first: (n, c)."""
    read, place = np.unique(asked, return_inverse=True)
    there = examples.there[read]
    longest = int(there.sum(axis=1).max())
    mask = torch.from_numpy(there[:, :longest])
    words = model.read(torch.from_numpy(examples.tokens[read, :longest].astype(np.float32)), mask)
    seen = model.see(torch.from_numpy(examples.patches[examples.owner[asked[:, 0]]].widen()))
    at = torch.from_numpy(place.ravel())
    rows = torch.arange(len(asked)).repeat_interleave(asked.shape[1])
    return model.match(seen, words[at], mask[at], rows).view(asked.shape)


def _set_scale(model: Matcher, patches: Tokens, most: int = 512) -> None:
    """Mean and spread of each number of a patch, over some pictures spread over all."""
    chosen = np.linspace(0, len(patches) - 1, min(most, len(patches))).astype(np.int64)
    seen = torch.from_numpy(patches[chosen].widen()).flatten(0, 1)
    model.patch_mean.copy_(seen.mean(dim=0))
    model.patch_scale.copy_(seen.std(dim=0).clamp(min=1e-3))
