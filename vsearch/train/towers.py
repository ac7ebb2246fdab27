"""Which weights of an open_clip model are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from vsearch.errors import TrainError


@dataclass(frozen=True)
class Locked:
    """How much of each tower never changes: ``whole`` of it, all but its ``projection``, or less: ``no``."""

    image: str
    text: str


def unlock(network: Any, what: str, lora_rank: int) -> Locked:
    """Leave gradients to what is to be trained, and to the temperature.

    what: as in TrainConfig.  Raises TrainError for a model that cannot be split like this.
    """
    network.requires_grad_(True)
    locked = Locked("no", "no")
    try:
        if what == "text":
            network.lock_image_tower(unlocked_groups=0)
            locked = Locked("whole", "no")
        elif what == "image":
            network.lock_text_tower(unlocked_layers=0)
            locked = Locked("no", "whole")
        elif what == "heads":
            _last(network, 1)
            simple = all(isinstance(p, nn.Parameter) for p in projections(network))
            locked = Locked("projection", "projection") if simple else locked
        elif what.startswith("last:"):
            _last(network, 1 + int(what.removeprefix("last:")))
        elif what == "lora":
            from vsearch.train.lora import inject

            inject(network, lora_rank)
    except (AssertionError, AttributeError, NotImplementedError, TypeError) as error:
        raise TrainError(
            f"this model cannot be trained in parts as {what!r} wants ({error}); use --train whole"
        ) from error
    network.logit_scale.requires_grad_(True)
    return locked


def _last(network: Any, groups: int) -> None:
    network.lock_image_tower(unlocked_groups=groups)
    network.lock_text_tower(unlocked_layers=groups)


def projections(network: Any) -> tuple[Any, Any]:
    """The matrices from the towers' widths to the joint space, where the model keeps them as such."""
    return getattr(network.visual, "proj", None), getattr(network, "text_projection", None)


def train_mode(network: nn.Module) -> None:
    """Training mode, but for batch normalisation, whose running statistics stay those of pre-training.

    A batch's own would make a pair's features depend on the chunk that it comes in.
    """
    network.train()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
