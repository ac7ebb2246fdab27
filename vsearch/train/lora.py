"""Low-rank updates of the layers of an open_clip model, by peft (Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from vsearch.errors import TrainError

_WRAP = ".base_layer."


# blocks of open_clip's towers, of timm's, of those of transformers, and the stages of a residual network
_BLOCK = re.compile(r"\.(resblocks|blocks?|layers?[1-4]?|h)\.\d+\.")


def inject(network: nn.Module, rank: int) -> None:
    """Freeze the network and put an update of that rank, zero at first, beside each linear layer of its blocks.

    Where the blocks of a tower have none it is beside each convolution: a convolution by a 1 x 1 one, of that rank.
    Raises TrainError when peft is not installed, or a tower has no such layer.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise TrainError("training with lora needs peft: pip install 'vsearch-engine[lora]'") from error
    names = [name for tower in ("picture", "text") for name in _layers(network, tower)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's remarks on parts of other models
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=names, bias="none"), network)


def _layers(network: nn.Module, tower: str) -> list[str]:
    """Names of the layers of a tower that get an update."""
    inside = {
        name: module
        for name, module in network.named_modules()
        if _BLOCK.search(f".{name}.") and name.startswith("visual.") == (tower == "picture")
    }
    linear = [name for name, module in inside.items() if type(module) is nn.Linear]
    names = linear or [name for name, m in inside.items() if type(m) is nn.Conv2d and m.groups == 1]
    if not names:
        raise TrainError(f"the {tower} tower of this model has no blocks for lora; use --train whole or last:N")
    return names


@contextmanager
def merged(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """The weights with the updates added, under the names they had before; the network as it was when done."""
    layers: list[Any] = [module for module in network.modules() if hasattr(module, "lora_A")]
    for layer in layers:
        layer.merge()
    try:
        yield {
            name.replace(_WRAP, "."): tensor for name, tensor in network.state_dict().items() if ".lora_" not in name
        }
    finally:
        for layer in layers:
            layer.unmerge()
