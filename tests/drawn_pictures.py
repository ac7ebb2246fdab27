"""Pictures for tests of duplicates: soft patterns from a seed, as different from each other as photos are."""

from pathlib import Path

import numpy as np
from PIL import Image


def drawn(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(20, 210, (18, 24, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def draw(folder: Path, count: int) -> Path:
    folder.mkdir(exist_ok=True)
    for seed in range(count):
        drawn(seed).save(folder / f"{seed:02d}.png")
    return folder
