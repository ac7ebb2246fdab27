"""How many rows a network takes at once: as the device's memory allows, learned and remembered for each network."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import nn

CHUNK = {"cpu": 64, "cuda": 256}  # rows, before anything is known
MOST = 1024  # rows: above that a GPU gains nothing
SHARE = 0.8  # of the free memory: fragments and other processes have the rest

# A network stands on one device; its name is its identity, and it is forgotten with it.
_learned: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()


def batch_size(network: nn.Module, device: torch.device) -> int:
    """Rows to give the network at once."""
    return _learned.get(network, CHUNK.get(device.type, CHUNK["cpu"]))


def known(network: nn.Module) -> bool:
    """Whether something was learned of the network."""
    return network in _learned


def learn(network: nn.Module, rows: int) -> None:
    """Give the network so many rows from now on."""
    _learned[network] = rows


def fitting(bytes_per_row: float, free: int) -> int:
    """The greatest power of two of rows, from 1 to ``MOST``, that fits into ``SHARE`` of the free bytes."""
    rows = int(min(MOST, free * SHARE // max(bytes_per_row, 1)))
    return 1 << max(rows, 1).bit_length() - 1
