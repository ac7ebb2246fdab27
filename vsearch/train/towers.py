"""Which weights of an open_clip model are trained."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
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
        if what in ("image", "text"):
            _one_tower(network, what)
            locked = Locked("whole", "no") if what == "text" else Locked("no", "whole")
        elif what == "heads":
            _last(network, 0)
            simple = all(isinstance(p, nn.Parameter) for p in projections(network))
            locked = Locked("projection", "projection") if simple else locked
        elif what.startswith("last:"):
            _last(network, int(what.removeprefix("last:")))
        elif what == "lora":
            from vsearch.train.lora import inject

            inject(network, lora_rank)
    except (AssertionError, AttributeError, NotImplementedError, TypeError) as error:
        raise TrainError(
            f"this model cannot be trained in parts as {what!r} wants ({error}); use --train whole"
        ) from error
    network.logit_scale.requires_grad_(True)
    return locked


def _one_tower(network: Any, what: str) -> None:
    # open_clip's own locks leave the projections of timm's towers and of transformers' unlocked
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith("visual.") == (what == "image"))


def _last(network: Any, blocks: int) -> None:
    """Lock all but the last blocks of both towers and what comes after them: attention that pools, projections."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # open_clip's way to timm is deprecated
        if hasattr(network.visual, "attnpool"):
            _last_of_resnet(network.visual, blocks)
        else:
            network.lock_image_tower(unlocked_groups=1 + blocks)
    if hasattr(getattr(network, "text", None), "config"):  # a tower of transformers
        _last_of_stack(network.text.transformer, blocks)
    else:
        network.lock_text_tower(unlocked_layers=1 + blocks)


def _last_of_resnet(visual: Any, blocks: int) -> None:
    every = [block for stage in (visual.layer1, visual.layer2, visual.layer3, visual.layer4) for block in stage]
    visual.requires_grad_(False)
    _unlock([visual.attnpool, *every[max(0, len(every) - blocks) :]])


def _last_of_stack(transformer: nn.Module, blocks: int) -> None:
    every = next((list(module) for module in transformer.modules() if isinstance(module, nn.ModuleList)), None)
    if every is None:
        raise NotImplementedError("its text tower has no layers one above the other")
    transformer.requires_grad_(False)
    _unlock(every[max(0, len(every) - blocks) :])


def _unlock(modules: Iterable[nn.Module]) -> None:
    for module in modules:
        module.requires_grad_(True)


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
