"""The collections that the page is tried on: drawn shapes with dates and folders, and one that is out to do harm."""

from __future__ import annotations

import os
import random
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import vsearch

COLOURS = {
    "red": "#c81e1e",
    "green": "#208030",
    "blue": "#1e40d2",
    "yellow": "#f0d220",
    "white": "#fafafa",
    "black": "#0a0a0a",
}
SHAPES = ("circle", "square", "ring")
FOLDERS = ("trips/rome", "trips/oslo", "home")
PICTURES = 108

# What a name, a caption, a camera or a column may say.  Each would show a dialog, were it taken for markup.
PAYLOADS = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "\"'><svg onload=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "javascript:alert(1)",
    "{{constructor.constructor('alert(1)')()}}",
    "\u202egpj.exe",
    "-->]]><!--<img/src/onerror=alert(1)>",
)


def drawn(place: Path) -> Path:
    """An index of shapes in six colours, with captions, EXIF dates of two years, cameras, and tags."""
    folder, rng = place / "drawn", random.Random(1)
    for number in range(PICTURES):
        colour, shape = list(COLOURS)[number % 6], SHAPES[number // 6 % 3]
        inside = folder / FOLDERS[number % 3 if number % 2 else number % 2]
        inside.mkdir(parents=True, exist_ok=True)
        _draw(colour, shape, rng).save(inside / f"{number:03d}-{colour}-{shape}.jpg", exif=_exif(number))
        (inside / f"{number:03d}-{colour}-{shape}.txt").write_text(f"a {colour} {shape}\n")
    with vsearch.create(place / "drawn.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(folder))
        index.tag(list(COLOURS), min_confidence=0.0, top=1)
    return place / "drawn.vsearch"


def _draw(colour: str, shape: str, rng: random.Random) -> Image.Image:
    width, height = rng.choice(((320, 240), (240, 320), (300, 300), (400, 220)))
    picture = Image.new("RGB", (width, height), tuple(rng.randrange(120, 170) for _ in range(3)))
    size = rng.randrange(60, 100)
    x, y = width // 2 + rng.randrange(-30, 30), height // 2
    box = (x - size, y - size, x + size, y + size)
    pen = ImageDraw.Draw(picture)
    if shape == "square":
        pen.rectangle(box, COLOURS[colour])
    elif shape == "circle":
        pen.ellipse(box, COLOURS[colour])
    else:
        pen.ellipse(box, outline=COLOURS[colour], width=24)
    return picture


def _exif(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = ("Canon", "EOS R6") if number % 2 else ("Fuji", "X100V")
    taken = datetime(2022, 1, 5) + timedelta(days=7 * number)
    exif.get_ifd(0x8769)[0x9003] = taken.strftime("%Y:%m:%d %H:%M:%S")
    return exif


def hostile(place: Path) -> Path:
    """An index whose names, captions, cameras and columns are payloads, one of them not even UTF-8."""
    folder = place / "hostile"
    folder.mkdir()
    for number, payload in enumerate(PAYLOADS):
        stem = os.fsencode(folder) + b"/" + f"{number} {payload.replace('/', '_')}".encode()
        exif = Image.Exif()
        exif[0x010E] = exif[0x010F] = exif[0x0110] = payload.encode("ascii", "replace").decode()
        pixels = np.random.default_rng(number).integers(0, 256, (120, 160, 3), dtype=np.uint8)
        with open(stem + b".jpg", "wb") as file:
            Image.fromarray(pixels).save(file, "JPEG", exif=exif)
        Path(os.fsdecode(stem + b".txt")).write_text(payload, encoding="utf-8")
    with open(os.fsencode(folder) + b"/\xff\xfe<b>.png", "wb") as file:
        Image.new("RGB", (90, 90), "purple").save(file, "PNG")
    with vsearch.create(place / "hostile.vsearch", encoder="toy") as index:
        report = index.add(vsearch.folder(folder))
        assert report.added == len(PAYLOADS) + 1
        index.tag(list(PAYLOADS[:3]), min_confidence=0.0, top=1)
    return place / "hostile.vsearch"
