"""Small pictures that tell which they are, for tests of the decode pool."""

import io
import os
import sys
from pathlib import Path

from PIL import Image

from vsearch.types import PixelSpec

SPEC = PixelSpec(8)
CULPRITS = (sys.executable, str(Path(__file__).with_name("decode_culprits.py")))


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def numbered(n):
    """A picture whose colour and size tell its number."""
    return png(Image.new("RGB", (10 + n % 7, 9), (n % 256, n // 256, 77)))


def number(decoded):
    assert (decoded.pixels == decoded.pixels[0, 0]).all()
    red, green, blue = decoded.pixels[0, 0].tolist()
    assert blue == 77
    return red + 256 * green


def write(folder, **files):
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return {name: os.fsencode(folder / name) for name in files}


def culprit(what, argument="", after=b""):
    return f"CULPRIT\n{what}\n{argument}\n".encode() + after
