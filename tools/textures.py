"""Grounds for the gallery's scenes, drawn from a random generator: a wooden table, grass, sand, sky.

Each ground is a function of (rng, size) that gives an RGB picture; equal seeds give equal pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Array = NDArray[np.float32]
Size = tuple[int, int]
Colour = tuple[float, float, float]

HORIZON = 0.34  # share of the height above the ground, in the three grounds that have one


def fractal(rng: np.random.Generator, size: Size, cells: tuple[int, int], octaves: int = 5, gain: float = 0.5) -> Array:
    """Smooth noise in [0, 1], (height, width): octaves of random grids, each twice as fine and ``gain`` as strong.

    cells: how many grid cells the coarsest octave has across and down.
    """
    width, height = size
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        across, down = (min(count * 2**octave, side) + 1 for count, side in zip(cells, size, strict=True))
        grid = Image.fromarray(rng.random((down, across), dtype=np.float32))
        total += gain**octave * np.asarray(grid.resize(size, Image.Resampling.BICUBIC))
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def blend(low: Colour, high: Colour, share: Array) -> Array:
    """Mix two colours (0–255) by a share in [0, 1]: (height, width, 3)."""
    weight = share[..., None]
    return (np.array(low, np.float32) * (1 - weight) + np.array(high, np.float32) * weight).astype(np.float32)


def picture(values: Array) -> Image.Image:
    """(height, width, 3) values as an RGB picture."""
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def sky(rng: np.random.Generator, size: Size) -> Image.Image:
    """Blue, paler towards the bottom, with clouds that are lit from above."""
    width, height = size
    down = np.repeat(np.linspace(0, 1, height, dtype=np.float32)[:, None], width, axis=1)
    blue = blend((62, 124, 205), (186, 217, 242), down**0.8)
    density = fractal(rng, size, (3, 3), octaves=6, gain=0.55)
    cover = np.clip((density - rng.uniform(0.5, 0.6)) / 0.25, 0, 1)
    step = max(1, height // 40)
    below = np.concatenate([density[step:], np.repeat(density[-1:], step, axis=0)])
    lit = np.clip(0.5 + 4 * (density - below), 0, 1)
    cloud = blend((198, 206, 218), (255, 255, 255), lit.astype(np.float32))
    weight = (cover * cover * (3 - 2 * cover))[..., None]
    return picture(blue * (1 - weight) + cloud * weight)


def _grain(rng: np.random.Generator, size: Size, tone: float) -> Array:
    """One board: rings of growth seen as long wavy lines, and fine fibres."""
    width, height = size
    along = fractal(rng, size, (2, 3), octaves=3)
    across = np.linspace(0, rng.uniform(2, 4), height, dtype=np.float32)[:, None]
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (across * 2 + along * 2.5))
    fibres = fractal(rng, size, (4, height // 2), octaves=3, gain=0.8)
    dark = np.clip(0.5 * rings**3 + 0.5 * fibres, 0, 1) * 0.75 + tone
    return blend((198, 142, 88), (104, 60, 28), np.clip(dark, 0, 1).astype(np.float32))


def _boards(rng: np.random.Generator, size: Size, count: int = 6) -> Image.Image:
    """Boards side by side with dark joints, the far ones (at the top) foreshortened."""
    width, height = size
    edges = (height * np.linspace(0, 1, count + 1) ** 1.45).astype(int)
    rows = []
    for top, bottom in zip(edges[:-1], edges[1:], strict=True):
        board = _grain(rng, (width, int(bottom - top)), float(rng.uniform(-0.12, 0.12)))
        board[:3] *= 0.45
        board[-2:] *= 0.7
        rows.append(board)
    return picture(np.concatenate(rows))


def wood(rng: np.random.Generator, size: Size) -> Image.Image:
    """A table of boards that run from left to right, seen from the front, before a plain wall."""
    width, height = size
    wall_colour = np.array(
        [(214, 205, 190), (186, 200, 206), (205, 196, 204), (196, 206, 186)][rng.integers(4)], np.float32
    )
    light = 0.86 + 0.2 * fractal(rng, size, (2, 1), octaves=2)
    canvas = picture(light[..., None] * wall_colour)
    top = int(height * HORIZON)
    depth = height - top
    flat = _boards(rng, (width * 2, depth * 2))
    margin = width // 2  # what the far edge shows more of than the near one
    corners = (0, 0, margin, depth * 2, width * 2 - margin, depth * 2, width * 2, 0)
    table = flat.transform((width, depth), Image.Transform.QUAD, corners, Image.Resampling.BICUBIC)
    shade = np.linspace(0.8, 1.08, depth, dtype=np.float32)[:, None, None]
    canvas.paste(picture(np.asarray(table, np.float32) * shade), (0, top))
    return _edge(canvas, top)


def _edge(canvas: Image.Image, top: int) -> Image.Image:
    """Soften the line where the ground ends, as a lens does that is focused nearer."""
    band = (0, top - 6, canvas.width, top + 6)
    canvas.paste(canvas.crop(band).filter(ImageFilter.GaussianBlur(1.6)), band[:2])
    return canvas


def grass(rng: np.random.Generator, size: Size) -> Image.Image:
    """A meadow under a sky: blades that grow longer towards the viewer."""
    width, height = size
    canvas = sky(rng, size)
    top = int(height * HORIZON)
    ground = blend((58, 92, 30), (104, 148, 52), fractal(rng, (width, height - top), (6, 10), octaves=5))
    canvas.paste(picture(ground), (0, top))
    draw_blades(rng, canvas, np.linspace(top + 2, height + 12, 150), per_row=width // 4)
    return canvas


def draw_blades(rng: np.random.Generator, canvas: Image.Image, rows: Array | NDArray[np.float64], per_row: int) -> None:
    """Blades of grass rooted on each row (y, far to near), spread over the width of the canvas."""
    draw = ImageDraw.Draw(canvas)
    width, height = canvas.size
    top = height * HORIZON
    for y in rows:
        near = max(0.0, (float(y) - top) / (height - top))
        length = 4 + 26 * near
        for x in rng.uniform(0, width, max(1, int(per_row * (1.3 - near)))):
            tip = (x + rng.normal(0, 0.35) * length, y - length * rng.uniform(0.6, 1.2))
            half = 0.4 + 1.1 * near
            bright = rng.uniform(0.65, 1.25) * (0.8 + 0.25 * near)
            colour = tuple(int(c * bright) for c in (92, 142, 46))
            draw.polygon([(x - half, y), (x + half, y), tip], fill=colour)


def sand(rng: np.random.Generator, size: Size) -> Image.Image:
    """Rippled sand under a sky; the ripples draw together towards the horizon."""
    width, height = size
    canvas = sky(rng, size)
    top = int(height * HORIZON)
    depth = height - top
    near = np.linspace(0.03, 1, depth, dtype=np.float32)[:, None]
    distance = np.log(near + 0.06)  # rows of pixels between two ripples grow in proportion to the nearness
    wander = fractal(rng, (width, depth), (2, 3), octaves=3)
    phase = distance * 8 + wander * 2.2
    ripples = 0.5 + 0.5 * np.sin(2 * np.pi * phase)
    grains = rng.normal(0, 0.07, (depth, width)).astype(np.float32)
    dunes = fractal(rng, (width, depth), (2, 2), octaves=3)
    share = np.clip(0.42 * ripples * near**0.4 + 0.4 * dunes + 0.15 + grains, 0, 1).astype(np.float32)
    canvas.paste(picture(blend((178, 138, 88), (243, 217, 168), share)), (0, top))
    return _edge(canvas, top)


GROUNDS: dict[str, Callable[[np.random.Generator, Size], Image.Image]] = {
    "wood": wood,
    "grass": grass,
    "sand": sand,
    "sky": sky,
}
