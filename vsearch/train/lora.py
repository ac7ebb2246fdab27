"""Low-rank updates of the linear layers of an open_clip model, by peft (Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from vsearch.errors import TrainError

_WRAP = ".base_layer."


def inject(network: nn.Module, rank: int) -> None:
    """Freeze the network and put an update of that rank, zero at first, beside each linear layer of its blocks.

    Raises TrainError when peft is not installed, or there is no such layer.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise TrainError("training with lora needs peft: pip install 'vsearch-engine[lora]'") from error
    names = [name for name, module in network.named_modules() if type(module) is nn.Linear and "resblocks" in name]
    if not names:
        raise TrainError("this model has no transformer blocks for lora; use --train whole or last:N")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's remarks on parts of other models
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=names, bias="none"), network)


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
