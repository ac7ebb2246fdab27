"""Heads that are trained on top of frozen towers: a linear map, an MLP, each beside the identity.

They begin as zero, so that before the first step the encoder is the one it starts from.  A gate says how much of a head
counts for an input: near 1 for inputs of the kind that it was trained on.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Kind = Literal["linear", "mlp"]


class Adapter(nn.Module):
    """``base + strength * sigmoid(gate(inputs)) * head(inputs)``: (n, dim) and (n, inputs) to (n, dim)."""

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
        self.gate = nn.Linear(inputs, 1) if gated else None
        self.dropout = nn.Dropout(dropout)
        self.strength = 1.0

    def forward(self, base: Tensor, inputs: Tensor) -> Tensor:
        """Apply the head."""
        x: Tensor = self._layers[0](inputs)
        for layer in self._layers[1:]:
            x = layer(self.dropout(nn.functional.gelu(x)))
        if self.gate is not None:
            x = torch.sigmoid(self.gate(inputs)) * x
        return base + self.strength * x


Shape = tuple[int, int, Kind, int, float, bool]


def made(seed: int, *wanted: Shape) -> list[Adapter]:
    """Adapters with first layers drawn from a seed; what is wanted of each is what ``Adapter`` takes."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return [Adapter(*one) for one in wanted]
