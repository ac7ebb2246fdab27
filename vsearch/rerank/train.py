"""Training the matcher: a binary loss on captions that are true of a picture and on hard ones that are not.

Hard captions are those of other pictures whose text vectors are nearest: for "a red apple and a green banana" the first
is "a green apple and a red banana".  They are found once, before the first step, with the text tower alone.
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
from vsearch.exact import topk
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

    lr: 1e-3, as for anything small that starts from nothing; warmed up over a twentieth of the steps, then a cosine.
    batch: pictures in a step.  nearest: the nearest caption is always among the false ones; the other is one of so
    many nearest, or as often any at all, which keeps the easy cases right.
    """

    epochs: int = 12
    batch: int = 32
    lr: float = 1e-3
    weight_decay: float = 0.05
    nearest: int = 16
    seed: int = 0
    warm_up: float = 0.05


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
        scores, near = topk(vectors[part], rows, depth, lambda ids: np.ones(len(ids), bool))
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
    steps = per_epoch * options.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: factor(step, steps, options.warm_up))
    model.train()
    for epoch in range(1, options.epochs + 1):
        total = 0.0
        for captions in _batches(rng, len(examples.owner), options.batch):
            loss = _loss(model, examples, captions, _drawn(rng, captions, hard, len(examples.owner)))
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


def _drawn(rng: np.random.Generator, captions: Ids, hard: Ids, count: int) -> Ids:
    """Two captions for each that are false of its picture: the nearest; and one of the near, or any at all."""
    near = hard[captions, rng.integers(0, hard.shape[1], len(captions))]
    anywhere = rng.integers(0, count, len(captions))
    second = np.where(rng.random(len(captions)) < 0.5, near, anywhere)
    return np.stack([hard[captions, 0], second], axis=1)


def _loss(model: Matcher, examples: Examples, captions: Ids, false: Ids) -> torch.Tensor:
    """Binary cross-entropy, true and false captions weighted alike."""
    owner = examples.owner[captions]
    texts = np.concatenate([captions[:, None], false], axis=1)
    true = examples.owner[texts] == owner[:, None]
    rows = np.repeat(np.arange(len(captions)), texts.shape[1])
    there = examples.there[texts.ravel()]
    longest = int(there.sum(axis=1).max())
    scores = model(
        torch.from_numpy(examples.patches[owner].widen()),
        torch.from_numpy(examples.tokens[texts.ravel(), :longest].astype(np.float32)),
        torch.from_numpy(there[:, :longest]),
        torch.from_numpy(rows),
    )
    told = torch.from_numpy(true.ravel().astype(np.float32))
    weight = torch.where(told > 0, 0.5 / told.mean(), 0.5 / (1 - told).mean().clamp(min=1e-6))
    return functional.binary_cross_entropy_with_logits(scores, told, weight=weight)


def _set_scale(model: Matcher, patches: Tokens, most: int = 512) -> None:
    """Mean and spread of each number of a patch, over some pictures spread over all."""
    chosen = np.linspace(0, len(patches) - 1, min(most, len(patches))).astype(np.int64)
    seen = torch.from_numpy(patches[chosen].widen()).flatten(0, 1)
    model.patch_mean.copy_(seen.mean(dim=0))
    model.patch_scale.copy_(seen.std(dim=0).clamp(min=1e-3))
