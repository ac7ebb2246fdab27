"""What the frozen towers of `mini` see in pictures, in several views of each, kept in a folder between runs."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vsearch.embed.mini import Mini

Matrix = NDArray[np.float32]
SIDE = Mini.preprocess.size
LEAST = 0.45  # share of the area that a random part of a picture keeps
AT_ONCE = 32


def seen(towers: Mini, name: str, paths: list[Path], view: int, cache: Path) -> Matrix:
    """What heads are given of each picture, features and then the vector of `mini:untrained`: (n, 2520) float32.

    view: 0 is the picture as it is, 1 its mirror image, 2 and above a random part of it, every other one mirrored.
    """
    kept = cache / f"{name}.{view}.npz"
    if not kept.is_file():
        features, vectors = [], []
        with ThreadPoolExecutor(2) as threads:
            for at in range(0, len(paths), AT_ONCE):
                numbers = range(at, min(at + AT_ONCE, len(paths)))
                pixels = list(threads.map(lambda n: _pixels(paths[n], view, n), numbers))
                of_part = towers.look(np.stack(pixels))
                features.append(of_part[0].astype(np.float16))
                vectors.append(of_part[1])
                print(f"{name}, view {view}: {numbers[-1] + 1} of {len(paths)}", end="\r", file=sys.stderr)
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(kept, features=np.concatenate(features), vector=np.concatenate(vectors))
    with np.load(kept) as told:
        if len(told["vector"]) != len(paths):
            raise SystemExit(f"{kept} holds another number of pictures than {len(paths):,}: remove it")
        return np.concatenate([told["features"].astype(np.float32), told["vector"]], axis=1)


def _pixels(path: Path, view: int, number: int) -> NDArray[np.uint8]:
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    rng = np.random.default_rng([number, view])
    mirrored = view == 1
    if view > 1:
        image = image.crop(_part(image.size, rng))
        mirrored = bool(rng.random() < 0.5)
    pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return np.ascontiguousarray(pixels[:, ::-1] if mirrored else pixels)


def _part(size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int, int, int]:
    width, height = size
    side, stretch = rng.uniform(LEAST, 1) ** 0.5, np.exp(rng.uniform(-0.2, 0.2))
    across, down = min(width, width * side * stretch), min(height, height * side / stretch)
    x, y = rng.uniform(0, width - across + 1e-6), rng.uniform(0, height - down + 1e-6)
    return int(x), int(y), int(x + across), int(y + down)
