"""The last two layers of MiniLM in torch, so that they can learn; `vsearch.embed.minilm` computes them in numpy."""

from __future__ import annotations

import numpy as np
import torch
from mini_texts import Numbers, Texts
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertModel

from vsearch.embed.minilm import LAYERS, MIDDLE
from vsearch.embed.weights import MINILM_WEIGHTS, checked

AT_ONCE = 64


class TextTower(nn.Module):
    """What is learned of the text tower: the layers after the one in the middle.  They begin as MiniLM's own."""

    def __init__(self) -> None:
        super().__init__()
        bert = BertModel.from_pretrained(checked(MINILM_WEIGHTS).parent, attn_implementation="sdpa")
        self.layers = nn.ModuleDict({str(number): bert.encoder.layer[number] for number in range(MIDDLE, LAYERS)})

    def forward(self, texts: Texts, numbers: Numbers) -> Tensor:
        """What heads are given of texts: the mean of tokens in the middle, then a unit vector; (n, 768)."""
        order = np.argsort(texts.lengths[numbers], kind="stable")  # so that little is padded
        parts = []
        for rows in np.split(numbers[order], range(AT_ONCE, len(order), AT_ONCE)):
            middle, there = texts.padded(rows)
            last = middle
            for layer in self.layers.values():
                last = layer(last, there[:, None, None, :])
            parts.append(torch.cat([_mean(middle, there), functional.normalize(_mean(last, there), dim=1)], dim=1))
        return torch.cat(parts)[torch.from_numpy(np.argsort(order))]

    def named(self) -> dict[str, Tensor]:
        """The weights by the names that MiniLM has for them."""
        return {f"encoder.layer.{name}": weight for name, weight in self.layers.state_dict().items()}


def _mean(tokens: Tensor, there: Tensor) -> Tensor:
    return (tokens * there[..., None]).sum(dim=1) / there.sum(dim=1, keepdim=True)
