"""Fine-tuning encoders on pairs of pictures and captions; what comes out is an encoder like any other.

Names are loaded when they are used, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vsearch.train.config import TrainConfig
    from vsearch.train.pairs import Pairs, read_pairs
    from vsearch.train.run import TrainReport, train

__all__ = ["Pairs", "TrainConfig", "TrainReport", "read_pairs", "train"]

_HOMES = {
    "Pairs": "pairs",
    "TrainConfig": "config",
    "TrainReport": "run",
    "read_pairs": "pairs",
    "train": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
