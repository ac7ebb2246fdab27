"""One process of two: computes the gradient of its half of a batch and writes what all agree on.

python tests/two_processes.py OUT, started by torchrun; OUT gets a file for each loss.
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


def main(out: str) -> None:
    """A batch of 23, so that the halves differ in length."""
    torch.set_num_threads(1)
    batch = drawn_batch(23)
    with join("cpu") as world:
        parts = (batch.images, batch.texts, batch.pictures, batch.captions)
        mine = Batch(*(part[world.rank :: world.size] for part in parts))
        for loss in ("infonce", "siglip"):
            towers = PlainTowers(bias=loss == "siglip")
            value = backward(towers, mine, TrainConfig(loss=loss, chunk=5), world, seed=3)
            world.add(gradients_of(towers.module.parameters()))
            told = {**towers.gradients(), "loss": torch.tensor(value, dtype=torch.float64)}
            if world.first:
                save_file(told, Path(out) / f"{loss}.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
