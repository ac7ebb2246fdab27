"""Small pictures for pages and previews, decoded where a hostile file does no harm."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vsearch.types import PixelSpec

if TYPE_CHECKING:
    from PIL.Image import Image

    from vsearch.decode import Decoded


def thumbnails(paths: Sequence[bytes], side: int) -> Iterator[Image | None]:
    """Yield for each path an upright picture of at most ``side`` pixels a side, None where it cannot be read."""
    from vsearch.decode import Decoded, DecodePool, Job

    if not paths:
        return
    spec = PixelSpec(side, resize="longest", fill=255)
    with DecodePool(spec, workers=min(len(paths), len(os.sched_getaffinity(0)))) as pool:
        for found in pool.map(Job(path) for path in paths):
            yield _unpadded(found, spec) if isinstance(found, Decoded) else None


def _unpadded(decoded: Decoded, spec: PixelSpec) -> Image:
    """Cut the padding off, and shrink what was smaller than the square and is enlarged."""
    from PIL import Image

    from vsearch.decode.geometry import scaled_size

    width, height = scaled_size(decoded.width, decoded.height, spec)
    left, top = (spec.size - width) // 2, (spec.size - height) // 2
    image = Image.fromarray(decoded.pixels[top : top + height, left : left + width])
    image.thumbnail((decoded.width, decoded.height))
    return image
