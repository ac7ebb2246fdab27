"""How the learning rate moves, and the average of the weights that is kept beside them."""

from __future__ import annotations

import math

import torch
from torch import nn

from vsearch.train.trainee import Weights, snapshot, trained


def factor(step: int, steps: int, warmup: float) -> float:
    """By what a learning rate is multiplied at a step: up in a line, down in half a cosine to zero.

    (Loshchilov and Hutter 2017, arXiv 1608.03983.)  warmup: share of the steps that go up.
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


class Average:
    """Exponential moving average of the trained weights.

    Young averages follow faster, decay = min(decay, (1 + n) / (10 + n)) after n steps, so that the first weights,
    which nobody wants, are soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._module, self._decay = module, decay
        self.weights: Weights = snapshot(module)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step."""
        share = 1 - min(self._decay, (1 + step) / (10 + step))
        for name, parameter in trained(self._module).items():
            self.weights[name].lerp_(parameter.detach().to("cpu"), share)
