"""Gradients of a contrastive loss over a batch of any size in bounded memory, in one process or many.

A contrastive loss needs the features of the whole batch at once, but not their graphs.  So features are computed
without a graph, the loss gives the gradient of each feature, and then the batch goes through the towers again, chunk
by chunk, each with the gradient that belongs to it (Gao et al. 2021, arXiv 2101.06983).  The rows of the scores, too,
are computed in blocks.  Processes exchange features and their gradients: each computes its own rows against everyone's
columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vsearch.train import loss
from vsearch.train.config import TrainConfig
from vsearch.train.world import World

SCORES = {"cpu": 1 << 22, "cuda": 1 << 26}
"""Scores computed at a time, by device: 16 and 256 MB as float32, and a few times that with what belongs to them."""
_MIX = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Batch:
    """Pairs, ready for the towers.  pictures, captions: (n,) int64 ids, by which a pair is known to be the same."""

    images: Tensor
    texts: Tensor
    pictures: Tensor
    captions: Tensor

    def __len__(self) -> int:
        return len(self.pictures)


class Towers(Protocol):
    """What is trained: two towers, and how their cosines become logits."""

    @property
    def scale(self) -> Tensor:
        """() log of the inverse temperature."""

    @property
    def bias(self) -> Tensor | None:
        """() added to the logits; None: none."""

    def encode_images(self, inputs: Tensor) -> Tensor:
        """(n, ...) to (n, dim), of any length."""

    def encode_texts(self, inputs: Tensor) -> Tensor:
        """(n, ...) to (n, dim), of any length."""


def backward(towers: Towers, batch: Batch, config: TrainConfig, world: World, seed: int) -> float:
    """Add the gradient of the loss over all processes' batches to the towers' parameters; return the loss.

    seed: of the random numbers of the forward passes, which are the same in both passes.
    The sums over processes of the parameters' own gradients are left to the caller.
    """
    size = config.chunk or len(batch)
    sides = [(towers.encode_images, batch.images), (towers.encode_texts, batch.texts)]
    passes = [_Pass(encode, inputs, size, seed + side * _MIX) for side, (encode, inputs) in enumerate(sides)]
    image, text = (one.features() for one in passes)
    value, gradients = contrast(image, text, batch, towers, config, world)
    for one, gradient in zip(passes, gradients, strict=True):
        one.backward(gradient)
    return value


def contrast(
    image: Tensor, text: Tensor, batch: Batch, towers: Towers, config: TrainConfig, world: World
) -> tuple[float, tuple[Tensor, Tensor]]:
    """Loss over the features of all processes, and its gradient by this process's own.

    image, text: (n, dim), normalised here.  The gradient by scale and bias is added to theirs.
    """
    begin = 0
    own = [batch.pictures.to(image.device), batch.captions.to(image.device)]
    everyone = [world.gather(ids)[0] for ids in own]
    leaves = []
    for features in (image, text):
        whole, begin = world.gather(features.detach())
        leaves.append(whole.requires_grad_())
    total, value = len(everyone[0]), 0.0
    block = max(1, SCORES.get(image.device.type, SCORES["cpu"]) // total)
    for row in range(begin, begin + len(image), block):
        rows = slice(row, min(row + block, begin + len(image)))
        xi, xt = (torch.nn.functional.normalize(leaf, dim=1) for leaf in leaves)
        positive = loss.same((everyone[0][rows], everyone[1][rows]), (everyone[0], everyone[1]))
        part = _rows(xi, xt, rows, positive, towers, config) / total
        part.backward()  # type: ignore[no-untyped-call]
        value += float(part.detach())
    gradients = [leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for leaf in leaves]
    sums = torch.tensor([value], dtype=torch.float64, device=image.device)
    world.add([*gradients, sums])
    mine = slice(begin, begin + len(image))
    return float(sums), (gradients[0][mine], gradients[1][mine])


def _rows(xi: Tensor, xt: Tensor, rows: slice, positive: Tensor, towers: Towers, config: TrainConfig) -> Tensor:
    scale, bias = towers.scale.exp(), 0.0 if towers.bias is None else towers.bias
    if config.loss == "siglip":
        return loss.siglip(scale * (xi[rows] @ xt.T) + bias, positive).sum()
    softened = config.hard_weight, config.label_smoothing
    by_image = loss.infonce(scale * (xi[rows] @ xt.T) + bias, positive, *softened)
    by_text = loss.infonce(scale * (xt[rows] @ xi.T) + bias, positive, *softened)
    return (by_image.sum() + by_text.sum()) / 2


class _Pass:
    """One side of a batch on its way through its tower: once with a graph when it fits, else twice without."""

    def __init__(self, encode: Callable[[Tensor], Tensor], inputs: Tensor, size: int, seed: int) -> None:
        self._encode, self._seed = encode, seed
        self._parts: tuple[Tensor, ...] = torch.split(inputs, size)
        self._kept: Tensor | None = None

    def features(self) -> Tensor:
        if len(self._parts) == 1:
            self._kept = self._run(0)
            return self._kept.detach()
        with torch.no_grad():
            return torch.cat([self._run(number) for number in range(len(self._parts))])

    def backward(self, gradient: Tensor) -> None:
        if self._kept is not None:
            _replay(self._kept, gradient)
            return
        for number, part in enumerate(torch.split(gradient, len(self._parts[0]))):
            _replay(self._run(number), part)

    def _run(self, number: int) -> Tensor:
        with seeded(self._seed + number):
            features = self._encode(self._parts[number])
        return features if features.dtype == torch.float64 else features.float()


def _replay(features: Tensor, gradient: Tensor) -> None:
    if features.requires_grad:  # a locked tower has nothing to learn
        features.backward(gradient)  # type: ignore[no-untyped-call]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers that are a function of ``seed`` alone, while the block runs; others' are left as they were."""
    with torch.random.fork_rng():
        torch.manual_seed(seed % (1 << 63))
        yield


def gradients_of(parameters: Iterable[Tensor]) -> list[Tensor]:
    """The gradients there are, in the order of the parameters; those that nobody computed are made zeros.

    So that all processes sum the same list.
    """
    found = []
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        found.append(parameter.grad)
    return found
