"""The gallery where the stamps cannot be had: drawn fruit and balls, and photos of installed packages."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE = 320

# name: (colour, how much wider than high, stem, leaf)
ROUND_THINGS = {
    "red-apple": ((196, 24, 32), 1.06, True, True),
    "green-apple": ((124, 186, 44), 1.06, True, True),
    "orange": ((244, 138, 24), 1.0, False, False),
    "lemon": ((248, 222, 60), 1.35, False, False),
    "tomato": ((222, 40, 28), 1.15, False, True),
    "plum": ((92, 30, 104), 0.95, True, False),
    "egg": ((240, 226, 204), 1.3, False, False),
    "red-ball": ((214, 26, 40), 1.0, False, False),
    "blue-ball": ((34, 76, 204), 1.0, False, False),
    "yellow-ball": ((246, 210, 30), 1.0, False, False),
    "green-ball": ((36, 152, 70), 1.0, False, False),
}

SCENES = """
wood  | A red apple on a wooden table.             | red-apple 0.34
wood  | A green apple on a wooden table.           | green-apple 0.34
wood  | A red apple and a green apple on a table.  | red-apple 0.30 | green-apple 0.30
wood  | An orange on a wooden table.               | orange 0.32
wood  | A lemon on a wooden table.                 | lemon 0.26
wood  | An orange and a lemon on a wooden table.   | orange 0.30 | lemon 0.24
wood  | A tomato on a kitchen table.               | tomato 0.28
wood  | A plum on a wooden table.                  | plum 0.26
wood  | An egg on a kitchen table.                 | egg 0.22
wood  | A blue ball on a wooden table.             | blue-ball 0.30
grass | A red ball on the grass.                   | red-ball 0.34
grass | A blue ball on the grass.                  | blue-ball 0.34
grass | A yellow ball and a red ball on the lawn.  | yellow-ball 0.30 | red-ball 0.30
grass | A red apple lying in the grass.            | red-apple 0.28
grass | A green meadow under a blue sky.
sand  | A yellow ball on the beach.                | yellow-ball 0.34
sand  | A green ball and a blue ball on the beach. | green-ball 0.30 | blue-ball 0.30
sand  | An orange lying on the sand.               | orange 0.26
sand  | A sandy desert under a blue sky.
sky   | White clouds in a blue sky.
sky   | A red ball flying through the sky.         | red-ball 0.26
"""

# package: {file inside it: caption}
PHOTOS = {
    "skimage": {
        "data/astronaut.png": "An astronaut in an orange suit.",
        "data/brick.png": "A pavement of bricks.",
        "data/camera.png": "A man with a camera on a tripod.",
        "data/chelsea.png": "The face of a tabby cat.",
        "data/coffee.png": "A cup of coffee on a wooden table.",
        "data/coins.png": "Old coins.",
        "data/grass.png": "Grass.",
        "data/gravel.png": "Gravel.",
        "data/hubble_deep_field.jpg": "Galaxies in deep space.",
        "data/moon.png": "The surface of the moon.",
        "data/motorcycle_left.png": "A motorcycle in a garage.",
        "data/page.png": "A page of printed text.",
        "data/retina.jpg": "The retina of an eye.",
        "data/rocket.jpg": "A rocket on the launch pad.",
    },
    "sklearn": {
        "datasets/images/china.jpg": "A Chinese temple.",
        "datasets/images/flower.jpg": "A flower.",
    },
    "matplotlib": {"mpl-data/sample_data/grace_hopper.jpg": "A woman in a navy uniform."},
}


def round_thing(name: str) -> Image.Image | None:
    """A shaded ball or fruit on a transparent ground, RGBA; None for an unknown name."""
    if name not in ROUND_THINGS:
        return None
    colour, stretch, stem, leaf = ROUND_THINGS[name]
    across, down = np.meshgrid(np.linspace(-1.1, 1.1, SIDE), np.linspace(-1.1, 1.1, SIDE))
    across = across / min(stretch, 1.0)
    down = down * max(stretch, 1.0)
    radius2 = across**2 + down**2
    depth = np.sqrt(np.clip(1 - radius2, 0, 1))
    light = np.clip(-0.45 * across - 0.6 * down + 0.66 * depth, 0, 1)  # Lambert, lamp at the upper left
    gloss = np.clip(-0.38 * across - 0.48 * down + 0.79 * depth, 0, 1) ** 40
    shaded = np.array(colour) * (0.3 + 0.8 * light[..., None]) + 190 * gloss[..., None]
    opaque = np.clip((1 - radius2) * 60, 0, 1) * 255
    pixels = np.dstack([np.clip(shaded, 0, 255), opaque]).astype(np.uint8)
    return _with_stem(Image.fromarray(pixels), stretch, stem, leaf)


def _with_stem(fruit: Image.Image, stretch: float, stem: bool, leaf: bool) -> Image.Image:
    """Give the fruit its stem and its leaf."""
    canvas = Image.new("RGBA", (SIDE, SIDE + 60))
    canvas.paste(fruit, (0, 60), fruit)
    draw = ImageDraw.Draw(canvas)
    top = 60 + int(SIDE / 2 * (1 - 0.85 / max(stretch, 1.0)))
    middle = SIDE // 2
    if stem:
        draw.line([(middle, top + 8), (middle + 4, top - 20), (middle + 16, top - 40)], (84, 56, 28, 255), 9)
    if leaf:
        draw.ellipse((middle + 6, top - 34, middle + 82, top - 2), (62, 128, 44, 255))
    return canvas.filter(ImageFilter.GaussianBlur(0.8))


def copy_photos(out: Path) -> list[Path]:
    """Copy the photos that installed packages carry, with captions; packages that are not there are passed over."""
    copies = []
    for package, photos in PHOTOS.items():
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue
        for inside, words in photos.items():
            photo = Path(spec.origin).parent / inside
            if not photo.is_file():
                continue
            target = out / package / photo.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(photo, target)
            target.with_suffix(".txt").write_text(words + "\n", encoding="utf-8")
            copies.append(target)
    return copies
