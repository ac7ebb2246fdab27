"""What learns in `mini`, the four losses, and the loop; train_mini.py says what they are for."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import torch
from mini_data import NAMED, THING_VIEWS, Data
from mini_texts import Numbers, Texts
from text_tower import TextTower
from torch import Tensor, nn
from torch.nn import functional

from vsearch.embed.heads import INPUTS
from vsearch.embed.minilm import DIM
from vsearch.train.adapters import Shape, made
from vsearch.train.heads import STRENGTH

RATE, DECAY, DROPOUT, WARM_UP, CLIP = 1e-3, 0.1, 0.4, 30, 5.0
# Cosines to names are multiplied by it: the vectors of `mini:untrained` agree best with the classifier near this.  With
# more of it the names are drawn together, until each is near to all others.
SHARPNESS = 15.0
THINGS_AT_ONCE, NAMES_AT_ONCE, WORDS_AT_ONCE = 128, 250, 256


@dataclass(frozen=True)
class Recipe:
    """How to train.

    views: of each picture.  names, things, words: weights of the losses that keep what the towers know.  gate: 0 for
    none.  tower: learning rate of the last layers of the text tower, 0 to leave them as they are.
    """

    seeds: int = 3
    epochs: int = 20
    batch: int = 500
    hidden: int = 1024
    views: int = 3
    names: float = 1.0
    things: float = 0.5
    words: float = 2.0
    gate: int = 1
    tower: float = 1e-4


class Student(nn.Module):
    """What learns: the heads of several seeds, and one text tower under all of them."""

    def __init__(self, recipe: Recipe, first: int) -> None:
        super().__init__()
        shapes: list[Shape] = [(INPUTS[side], DIM, "mlp", recipe.hidden, DROPOUT, False) for side in ("image", "text")]
        heads = [made(first + more, *shapes) for more in range(recipe.seeds)]
        self.image, self.text = (nn.ModuleList(sides) for sides in zip(*heads, strict=True))
        for image, text in heads:
            image.strength, text.strength = STRENGTH["image"], STRENGTH["text"]
        self.tower = TextTower().eval() if recipe.tower else None  # its own dropout would come on top of the heads'
        self.scale = nn.Parameter(torch.full((recipe.seeds, 1, 1), float(np.log(1 / 0.07))))

    def pictures(self, x: Tensor) -> Tensor:
        """Unit vectors of each seed, of features: (seeds, n, 384)."""
        return functional.normalize(torch.stack([head(x[:, -DIM:], x) for head in self.image]), dim=-1)

    def texts(self, texts: Texts, numbers: Numbers) -> Tensor:
        """Unit vectors of each seed, of some texts: (seeds, n, 384)."""
        x = self.tower(texts, numbers) if self.tower else texts.features[numbers]
        return functional.normalize(torch.stack([head(x[:, -DIM:], x) for head in self.text]), dim=-1)


def train(data: Data, recipe: Recipe, first: int) -> Student:
    """Train heads of the seeds ``first`` and so on, and the tower below them."""
    rng = np.random.default_rng(first)
    torch.manual_seed(first)
    student = Student(recipe, first)
    tower = list(student.tower.parameters()) if student.tower else []
    heads = [*student.image.parameters(), *student.text.parameters(), student.scale]
    rates = [RATE, recipe.tower]
    optimiser = torch.optim.AdamW([{"params": heads}, {"params": tower}], lr=RATE, weight_decay=DECAY)
    count = len(data.own)
    each = count // recipe.batch
    steps = recipe.epochs * each
    for step in range(steps):
        if step % each == 0:
            order = rng.permutation(count)
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * min(1, (step + 1) / WARM_UP) * 0.5 * (1 + np.cos(np.pi * step / steps))
        at = step % each * recipe.batch
        optimiser.zero_grad()
        _loss(data, recipe, rng, order[at : at + recipe.batch], student).backward()
        nn.utils.clip_grad_norm_([*heads, *tower], CLIP)
        optimiser.step()
        print(f"step {step + 1} of {steps}", end="\r", file=sys.stderr)
    return student.eval()


def _loss(data: Data, recipe: Recipe, rng: np.random.Generator, ids: Numbers, student: Student) -> Tensor:
    view = rng.integers(recipe.views, size=len(ids))
    captions = np.array([rng.choice(data.own[i]) for i in ids])
    pictures, texts = student.pictures(data.pictures[view, ids]), student.texts(data.captions, captions)
    scores = student.scale.exp().clamp(max=100) * pictures @ texts.mT
    own = torch.eye(len(ids))
    loss = (cross_entropy(scores, own) + cross_entropy(scores.mT, own)) / 2
    classes = rng.choice(data.teacher.shape[2], NAMES_AT_ONCE, replace=False)
    ways = rng.integers(len(NAMED), size=len(classes))
    names = student.texts(data.names, ways * data.teacher.shape[2] + classes)
    loss = loss + recipe.names * cross_entropy(SHARPNESS * pictures @ names.mT, data.teacher[view, ids][:, classes])
    view, ids = rng.integers(THING_VIEWS, size=THINGS_AT_ONCE), rng.choice(data.things.shape[1], THINGS_AT_ONCE)
    things = student.pictures(data.things[view, ids])
    loss = loss + recipe.things * cross_entropy(SHARPNESS * things @ names.mT, data.taught[view, ids][:, classes])
    asked = rng.choice(len(data.words), WORDS_AT_ONCE)
    places = data.words.features[asked % (len(data.words) // 2), -DIM:]
    return loss + recipe.words * (1 - (student.texts(data.words, asked) * places).sum(dim=-1)).mean()


def cross_entropy(scores: Tensor, shares: Tensor) -> Tensor:
    """Of what rows of scores say, (seeds, n, m), with shares, (n, m), which are made to sum to one."""
    shares = shares / shares.sum(dim=1, keepdim=True)
    return -(shares * functional.log_softmax(scores, dim=-1)).sum(dim=-1).mean()
