"""Small pictures for pages and previews, decoded where a hostile file does no harm."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vsearch.types import PixelSpec

if TYPE_CHECKING:
    from PIL.Image import Image


def thumbnails(paths: Sequence[bytes], side: int) -> Iterator[Image | None]:
    """Yield for each path an upright picture of at most ``side`` pixels a side, None where it cannot be read."""
    from vsearch.decode import Decoded, DecodePool, Job, unpadded

    if not paths:
        return
    spec = PixelSpec(side, resize="longest", fill=255)
    with DecodePool(spec, workers=min(len(paths), len(os.sched_getaffinity(0)))) as pool:
        for found in pool.map(Job(path) for path in paths):
            yield unpadded(found, spec) if isinstance(found, Decoded) else None
