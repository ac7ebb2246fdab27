"""From which cosine on two pictures may be the same: measured with changed pictures of the collection.

How far a vector moves when its picture is scaled or brightened depends on the encoder and on the pictures, so a number
that fits one collection misses duplicates in another.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vsearch.decode import Decoded, DecodePool, Job, fit, unpadded
from vsearch.errors import EncoderUnavailable
from vsearch.store import Snapshot
from vsearch.types import PixelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from vsearch.embed import Encoder

SAMPLE = 64
FEWEST = 8
FALLBACK = 0.9
MISSED = 0.005  # share of changed pictures that may lie below the threshold
LOWEST = 0.5
_SPEC = PixelSpec(size=512, resize="longest", fill=255)
_BATCH = 64


def half(image: Image) -> Image:
    """Scaled to half of its width and height."""
    return image.resize((max(1, image.width // 2), max(1, image.height // 2)))


def recompressed(image: Image) -> Image:
    """Written as a JPEG of quality 60, and read again."""
    from PIL import Image as Pillow

    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=60)
    with Pillow.open(stream) as again:
        return again.convert("RGB")


def cropped(image: Image) -> Image:
    """Without 5 % of its width and height: half of that on each side."""
    x, y = round(image.width * 0.025), round(image.height * 0.025)
    return image.crop((x, y, image.width - x, image.height - y))


def brightened(image: Image) -> Image:
    """A fifth brighter."""
    from PIL import ImageEnhance

    return ImageEnhance.Brightness(image).enhance(1.2)


CHANGES: tuple[Callable[[Image], Image], ...] = (half, recompressed, cropped, brightened)


def threshold(snapshot: Snapshot, encoder: Encoder, ids: NDArray[np.int64], seed: int = 0) -> tuple[float, str]:
    """The cosine that all but 0.5 % of changed pictures keep with their original, and in words where it comes from.

    ids: ascending; at most 64 of them are read, changed in four ways and embedded.  With fewer than eight readable
    ones, or where the encoder is not to be had, it is 0.9.  Raises EncoderError.
    """
    chosen = np.sort(np.random.default_rng(seed).choice(ids, min(SAMPLE, len(ids)), replace=False))
    records = [(int(id), record) for id in chosen if (record := snapshot.record(int(id))) is not None]
    originals, pixels = [], []
    for (id, _), image in zip(records, _pictures([record.path for _, record in records]), strict=True):
        if image is not None:
            originals.append(id)
            pixels += [fit(change(image), encoder.preprocess) for change in CHANGES]
    if len(originals) < FEWEST:
        return FALLBACK, f"{FALLBACK:g}, as too few pictures can be read to measure one"
    stored = snapshot.vectors(np.array(originals)).repeat(len(CHANGES), axis=0)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    starts = range(0, len(pixels), _BATCH)
    try:
        changed = np.concatenate([encoder.encode_images(np.stack(pixels[at : at + _BATCH])) for at in starts])
    except EncoderUnavailable:
        return FALLBACK, f"{FALLBACK:g}, as no picture can be embedded here to measure one"
    cosines = (stored * changed).sum(axis=1)
    found = float(np.quantile(cosines, MISSED, method="lower"))
    told = min(max(found, LOWEST), 1 - 1e-3)
    return told, f"{told:.3f}, measured with {len(originals)} pictures of the collection that were changed a little"


def _pictures(paths: Sequence[bytes]) -> Iterator[Image | None]:
    with DecodePool(_SPEC) as pool:
        for outcome in pool.map(Job(path) for path in paths):
            yield unpadded(outcome, _SPEC) if isinstance(outcome, Decoded) else None
