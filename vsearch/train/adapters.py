"""Heads that are trained on top of frozen towers: a linear map, an MLP, each beside the identity.

They begin as zero, so that before the first step the encoder is the one it starts from.  A gate says how much of a head
counts for an input: near 1 for inputs of the kind that it was trained on, and never less than its least.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Kind = Literal["linear", "mlp"]


class Gate(nn.Linear):
    """``least + (1 - least) * sigmoid(w x + b)``: (n, inputs) to (n, 1)."""

    least: Tensor

    def __init__(self, inputs: int) -> None:
        super().__init__(inputs, 1)
        self.register_buffer("least", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """What share of the head counts."""
        return self.least + (1 - self.least) * torch.sigmoid(super().forward(x))


class Adapter(nn.Module):
    """``base + strength * gate(inputs) * head(inputs)``: (n, dim) and (n, inputs) to (n, dim)."""

    def __init__(self, inputs: int, dim: int, kind: Kind, hidden: int, dropout: float, gated: bool = False) -> None:
        super().__init__()
        if kind == "linear":
            layers = [nn.Linear(inputs, dim)]
        else:
            layers = [nn.Linear(inputs, hidden), nn.Linear(hidden, dim)]
        for number, layer in enumerate(layers):
            self.add_module(str(number), layer)
        nn.init.zeros_(layers[-1].weight)
        nn.init.zeros_(layers[-1].bias)
        self._layers = layers
        self.gate = Gate(inputs) if gated else None
        self.dropout = nn.Dropout(dropout)
        self.strength = 1.0

    def forward(self, base: Tensor, inputs: Tensor) -> Tensor:
        """Apply the head."""
        x: Tensor = self._layers[0](inputs)
        for layer in self._layers[1:]:
            x = layer(self.dropout(nn.functional.gelu(x)))
        if self.gate is not None:
            x = self.gate(inputs) * x
        return base + self.strength * x


Shape = tuple[int, int, Kind, int, float, bool]


def made(seed: int, *wanted: Shape) -> list[Adapter]:
    """Adapters with first layers drawn from a seed; what is wanted of each is what ``Adapter`` takes."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return [Adapter(*one) for one in wanted]
