"""Pictures for tests: soft patterns from a seed, as different from each other as photos, and the three of the docs."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def drawn(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(20, 210, (18, 24, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def draw(folder: Path, count: int) -> Path:
    folder.mkdir(exist_ok=True)
    for seed in range(count):
        drawn(seed).save(folder / f"{seed:02d}.png")
    return folder


def draw_three(folder: Path) -> None:
    """The pictures that the examples of the documents name: a red, a green and a blue disc."""
    folder.mkdir()
    for name, colour in {"apple": "red", "meadow": "green", "sky": "blue"}.items():
        picture = Image.new("RGB", (120, 90), "white")
        ImageDraw.Draw(picture).ellipse((20, 5, 100, 85), colour)
        picture.save(folder / f"{name}.jpg")
