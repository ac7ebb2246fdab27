"""One process of two: computes the gradient of its half of a batch and writes what all agree on.

python tests/two_processes.py LOSS OUT, started by torchrun.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from plain_towers import PlainTowers, drawn_batch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from vsearch.train.config import TrainConfig  # noqa: E402
from vsearch.train.gradcache import Batch, backward, gradients_of  # noqa: E402
from vsearch.train.world import join  # noqa: E402


def main(loss: str, out: str) -> None:
    """A batch of 23, so that the halves differ in length."""
    torch.set_num_threads(1)
    towers = PlainTowers(bias=loss == "siglip")
    whole = drawn_batch(23)
    with join("cpu") as world:
        mine = Batch(
            *(part[world.rank :: world.size] for part in (whole.images, whole.texts, whole.pictures, whole.captions))
        )
        value = backward(towers, mine, TrainConfig(loss=loss, chunk=5), world, seed=3)
        world.add(gradients_of(towers.module.parameters()))
        if world.first:
            save_file({**towers.gradients(), "loss": torch.tensor(value, dtype=torch.float64)}, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
