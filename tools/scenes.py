"""Compose the gallery's scenes: one or two cut-out pictures on a drawn ground, with a shadow and a caption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from textures import GROUNDS, HORIZON, draw_blades

SIZE = (640, 480)
SEED = 2024
QUALITY = 90

CutOut = Callable[[str], Image.Image | None]


@dataclass(frozen=True)
class Scene:
    """A caption, the ground, and what stands on it: (name of a cut-out, its height as a share of the canvas)."""

    caption: str
    ground: str
    things: tuple[tuple[str, float], ...]

    @property
    def slug(self) -> str:
        """The caption as a file name."""
        letters = "".join(c if c.isalnum() else " " for c in self.caption.lower())
        return "-".join(letters.split())


def read_scenes(table: str) -> list[Scene]:
    """Scenes from lines of ``ground | caption | name height | name height``; empty lines are skipped."""
    scenes = []
    for line in filter(None, map(str.strip, table.splitlines())):
        ground, caption, *things = (cell.strip() for cell in line.split("|"))
        pairs = (thing.split() for thing in things)
        scenes.append(Scene(caption, ground, tuple((name, float(height)) for name, height in pairs)))
    return scenes


def _fit(cut_out: Image.Image, height: float) -> Image.Image:
    """Cut the transparent margin off and scale to a share of the canvas, never wider than half of it."""
    picture = cut_out.convert("RGBA")
    picture = picture.crop(picture.getchannel("A").getbbox())
    scale = min(height * SIZE[1] / picture.height, 0.52 * SIZE[0] / picture.width)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _darken(canvas: Image.Image, mask: Image.Image, corner: tuple[int, int], strength: float) -> None:
    """Lay a shadow of the given shape (L) on the canvas."""
    shadow = Image.new("L", canvas.size)
    shadow.paste(mask.point(lambda value: int(value * strength)), corner)
    canvas.paste((18, 14, 10), (0, 0), shadow)


def _cast_shadow(canvas: Image.Image, thing: Image.Image, x: int, foot: int) -> None:
    """The shadow that a thing throws back and to the right, and the dark line where it touches the ground."""
    width, height = thing.size
    flat_height = max(2, int(height * 0.3))
    pad = 24
    wide = width + flat_height + 2 * pad
    flat = Image.new("L", (wide, flat_height + 2 * pad))
    lean = thing.getchannel("A").resize((width, flat_height), Image.Resampling.BILINEAR)
    flat.paste(lean, (pad, pad))
    # x in the leaning shadow = x of the upright one + its height above the foot
    flat = flat.transform(flat.size, Image.Transform.AFFINE, (1, 0.9, -0.9 * (flat_height + pad), 0, 1, 0))
    blurred = flat.filter(ImageFilter.GaussianBlur(5))
    _darken(canvas, blurred, (x - pad, foot - flat_height - pad + 2), 0.42)
    touch = Image.new("L", (width + 2 * pad, 2 * pad))
    sole = thing.getchannel("A").crop((0, int(height * 0.9), width, height)).resize((width, 10))
    touch.paste(sole, (pad, pad - 6))
    _darken(canvas, touch.filter(ImageFilter.GaussianBlur(4)), (x - pad, foot - pad), 0.62)


def _place(rng: np.random.Generator, canvas: Image.Image, scene: Scene, things: list[Image.Image]) -> None:
    """Put the things beside each other, on the ground or in the air."""
    width, height = canvas.size
    middles = ([], [0.5], [0.29, 0.71])[len(things)]
    for thing, middle in zip(things, middles, strict=True):
        x = int(width * (middle + rng.uniform(-0.07, 0.07)) - thing.width / 2)
        x = min(max(x, 4), width - thing.width - 4)
        if scene.ground == "sky":
            y = int(rng.uniform(0.1, max(0.12, 0.85 - thing.height / height)) * height)
            canvas.paste(thing, (x, y), thing)
            continue
        foot = int(height * rng.uniform(0.8, 0.88))
        _cast_shadow(canvas, thing, x, foot)
        canvas.paste(thing, (x, foot - thing.height), thing)
        if scene.ground == "grass":
            _hide_foot(rng, canvas, x, foot, thing.width)


def _hide_foot(rng: np.random.Generator, canvas: Image.Image, x: int, foot: int, width: int) -> None:
    """Let blades of grass grow before the lowest edge of a thing."""
    strip = canvas.copy()
    rows = np.linspace(foot + 4, foot + 14, 6)
    draw_blades(rng, strip, rows, per_row=canvas.width // 4)
    box = (max(0, x - 20), int(canvas.height * HORIZON), min(canvas.width, x + width + 20), canvas.height)
    canvas.paste(strip.crop(box), box[:2])


def draw(scene: Scene, number: int, cut_out: CutOut) -> Image.Image | None:
    """Compose one scene; None when one of its cut-outs is not there."""
    things = [(cut_out(name), height) for name, height in scene.things]
    if any(picture is None for picture, _ in things):
        return None
    rng = np.random.default_rng([SEED, number])
    canvas = GROUNDS[scene.ground](rng, SIZE)
    _place(rng, canvas, scene, [_fit(picture, height) for picture, height in things if picture is not None])
    return _as_photographed(rng, canvas)


def _as_photographed(rng: np.random.Generator, canvas: Image.Image) -> Image.Image:
    """A little blur, noise and vignetting over everything, so that cut-out and ground look like one picture."""
    width, height = canvas.size
    pixels = np.asarray(canvas.filter(ImageFilter.GaussianBlur(0.6)), np.float32)
    across, down = np.linspace(-1, 1, width), np.linspace(-1, 1, height)
    vignette = 1 - 0.16 * (across[None, :] ** 2 + down[:, None] ** 2)
    noise = rng.normal(0, 2.5, (height, width, 1))
    return Image.fromarray(np.clip(pixels * vignette[..., None] + noise, 0, 255).astype(np.uint8))


def write_scenes(scenes: list[Scene], folder: Path, cut_out: CutOut) -> list[Path]:
    """Draw the scenes as JPEG, each with its caption beside it; returns the pictures that were written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, scene in enumerate(scenes):
        picture = draw(scene, number, cut_out)
        if picture is None:
            continue
        target = folder / f"{scene.slug}.jpg"
        picture.save(target, quality=QUALITY, subsampling=0)
        target.with_suffix(".txt").write_text(scene.caption + "\n", encoding="utf-8")
        written.append(target)
    return written
