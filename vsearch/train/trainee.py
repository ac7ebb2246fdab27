"""What the loop needs of whatever it trains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vsearch.train.gradcache import Batch, Towers
from vsearch.train.pairs import Pairs

Matrix = NDArray[np.float32]
Ids = NDArray[np.int64]
Weights = dict[str, Tensor]


class Inputs(Protocol):
    """Pairs as the towers take them."""

    pairs: Pairs

    def batch(self, pictures: Ids, captions: Ids, seed: int | None) -> Batch:
        """The pairs with those ids; seed draws the augmentations, None: none.  May leave out what fails."""

    def close(self) -> None:
        """Let go of processes and memory."""


class Trainee(Towers, Protocol):
    """Two towers, or heads over two that are frozen.

    name: of the encoder that training starts from.  digest: its fingerprint.  module: all that is trained has
    gradients in it, and nothing else.
    """

    name: str
    digest: str
    module: nn.Module

    def inputs(self, pairs: Pairs) -> Inputs:
        """Prepare pairs; those that cannot be used are left out of ``Inputs.pairs``."""

    def vectors(self, inputs: Inputs) -> tuple[Matrix, Matrix, Ids]:
        """Unit vectors of captions (nt, dim) and of pictures (ni, dim), and the picture of each caption (nt,).

        As the encoder will make them: no dropout, no augmentation.
        """

    def rates(self) -> list[tuple[str, float]]:
        """Learning rate of each trained parameter, by name."""

    def save(self, folder: Path, told: dict[str, Any]) -> None:
        """Write the encoder as it is now into an empty folder, durably."""


def trained(module: nn.Module) -> Weights:
    """What training changes, by name: the parameters with gradients.  The tensors themselves, not copies."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def snapshot(module: nn.Module) -> Weights:
    """A copy of what training changes, on the CPU."""
    return {name: p.detach().cpu().clone() for name, p in trained(module).items()}


@torch.no_grad()
def restore(module: nn.Module, weights: Weights) -> None:
    """Put a copy back."""
    for name, parameter in trained(module).items():
        parameter.copy_(weights[name])


@torch.inference_mode()
def unit_rows(parts: Sequence[Tensor]) -> Matrix:
    """Rows of several parts, each of unit length, as float32."""
    rows: Matrix = nn.functional.normalize(torch.cat(list(parts)).float(), dim=1).cpu().numpy()
    return rows
