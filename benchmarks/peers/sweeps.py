"""The settings of inverted lists that are tried, the same for vsearch and for FAISS by hand."""

from __future__ import annotations

from itertools import product
from typing import Any

LISTS = ("nprobe", "rescore")
GRID = {
    "image": ((4, 6, 8, 12, 16, 24, 32), (2, 4, 8, 16)),
    "text": ((12, 16, 24, 32, 48, 64, 96, 128), (8, 16, 32, 64)),
}


def grid(modality: str) -> list[dict[str, Any]]:
    """All of them for queries of a modality."""
    return [dict(zip(LISTS, pair, strict=True)) for pair in product(*GRID[modality])]
