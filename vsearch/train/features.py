"""What frozen towers make of pictures and captions: computed once, kept on disk, so that heads train in minutes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from vsearch import files
from vsearch.decode import Decoded, DecodePool, Job
from vsearch.train.pairs import Notice, Pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.types import PixelSpec

    Matrix = NDArray[np.float32]

CHUNK = 64
Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Frozen:
    """Two towers that do not change.  name: changes with any bit of what they compute.

    images: (n, size, size, 3) uint8 to (n, a) float32.  texts: n texts to (n, b) float32.
    """

    name: str
    preprocess: PixelSpec
    images: Callable[[NDArray[np.uint8]], Matrix]
    texts: Callable[[list[str]], Matrix]


@dataclass(frozen=True)
class Features:
    """Rows of pictures and of captions, for the pairs that could be decoded."""

    pairs: Pairs
    images: Matrix
    texts: Matrix


def features(towers: Frozen, pairs: Pairs, cache: Path | None, tell: Notice, progress: Tell) -> Features:
    """Compute features, or read those that an earlier run kept in the folder ``cache``.

    A picture that cannot be decoded is left out with its captions, and told.  Raises DecodeError, EncoderError,
    DiskFull.
    """
    key = hashlib.sha256(f"{towers.name} {pairs.digest}".encode()).hexdigest()[:24]
    kept = cache / f"features-{key}.safetensors" if cache else None
    found = _read(kept, pairs) if kept else None
    if found is None:
        found = _compute(towers, pairs, tell, progress)
        if kept is not None:
            _keep(kept, found, pairs)
    return found


def _compute(towers: Frozen, pairs: Pairs, tell: Notice, progress: Tell) -> Features:
    images: list[Matrix] = []
    usable: list[int] = []
    with DecodePool(towers.preprocess) as pool:
        for numbers, pixels in decoded(pool, pairs, range(len(pairs)), tell):
            images.append(towers.images(pixels))
            usable += numbers
            progress(usable[-1] + 1, len(pairs))
    left = pairs.only(usable)
    return Features(left, np.concatenate(images), towers.texts(left.texts))


def decoded(
    pool: DecodePool, pairs: Pairs, pictures: Iterable[int], tell: Notice
) -> Iterator[tuple[list[int], NDArray[np.uint8]]]:
    """Chunks of at most 64 pictures as pixels, with their numbers; those that fail are told and left out."""
    numbers = list(pictures)
    found: list[int] = []
    pixels: list[NDArray[np.uint8]] = []
    outcomes = pool.map(Job(pairs.items[n].path) for n in numbers)
    for number, outcome in zip(numbers, outcomes, strict=True):
        if isinstance(outcome, Decoded):
            found.append(number)
            pixels.append(outcome.pixels)
        else:
            tell(f"{pairs.items[number].path.decode('utf-8', 'replace')} left out: {getattr(outcome, 'reason', '')}")
        if len(found) == CHUNK:
            yield found, np.stack(pixels)
            found, pixels = [], []
    if found:
        yield found, np.stack(pixels)


def _keep(path: Path, found: Features, pairs: Pairs) -> None:
    places = {item.path: n for n, item in enumerate(pairs.items)}
    usable = [places[item.path] for item in found.pairs.items]
    raw = save({"images": found.images, "texts": found.texts}, {"usable": json.dumps(usable)})
    with files.storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.publish(path, lambda sink: sink.put(raw))


def _read(path: Path, pairs: Pairs) -> Features | None:
    from safetensors import safe_open

    try:
        with safe_open(path, "np") as file:
            usable = json.loads(file.metadata()["usable"])
        told = load_file(path)
        left = pairs.only(usable)
        images, texts = told["images"], told["texts"]
    except (OSError, SafetensorError, ValueError, KeyError, IndexError):  # not there, or damaged: made again
        return None
    return Features(left, images, texts) if (len(images), len(texts)) == (len(left), len(left.texts)) else None
