"""Pairs whose pictures are decoded anew for every batch, by the project's own decode room."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vsearch.decode import Decoded, DecodePool, Job
from vsearch.errors import TrainError
from vsearch.train.augment import augmented, roomy, tells_sides
from vsearch.train.features import decoded
from vsearch.train.gradcache import Batch
from vsearch.train.pairs import Notice, Pairs
from vsearch.train.trainee import Ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.types import PixelSpec


class PixelInputs:
    """Pictures as pixels; captions as what the text tower takes, made once and held in memory."""

    def __init__(self, pairs: Pairs, texts: Tensor, spec: PixelSpec, augment: bool, tell: Notice) -> None:
        """texts: a row for each caption.  augment: whether batches with a seed are changed by it."""
        self.pairs, self.texts = pairs, texts
        self._spec, self._augment, self._tell = spec, augment, tell
        self._decoding = roomy(spec) if augment else spec
        self._pools: dict[PixelSpec, DecodePool] = {}
        self._told: set[int] = set()
        self._lock = threading.Lock()

    def batch(self, pictures: Ids, captions: Ids, seed: int | None) -> Batch:
        """Decode the pictures of a batch; one that cannot be decoded is left out of it.

        The same seed gives the same pixels.  Raises TrainError when none is left.
        """
        random = np.random.default_rng(seed)
        found: list[NDArray[np.uint8]] = []
        kept: list[int] = []
        outcomes = self._pool(self._decoding).map(Job(self.pairs.items[n].path) for n in pictures)
        for row, outcome in enumerate(outcomes):
            of_picture = random.spawn(1)[0]  # each picture has its own, whatever became of those before it
            if isinstance(outcome, Decoded):
                found.append(self._changed(outcome.pixels, int(pictures[row]), of_picture, seed))
                kept.append(row)
            else:
                self._left_out(int(pictures[row]), outcome)
        if not kept:
            raise TrainError("none of the pictures of a batch can be decoded. See why: vsearch index FOLDER")
        own, of_text = torch.from_numpy(pictures[kept]), torch.from_numpy(captions[kept])
        return Batch(torch.from_numpy(np.stack(found)), self.texts[of_text], own, of_text)

    def _changed(
        self, pixels: NDArray[np.uint8], picture: int, random: np.random.Generator, seed: int | None
    ) -> NDArray[np.uint8]:
        if not self._augment or seed is None:
            return pixels
        return augmented(pixels, self._spec.size, not tells_sides(self.pairs.captions[picture]), random)

    def _left_out(self, picture: int, outcome: object) -> None:
        if picture not in self._told:
            self._told.add(picture)
            name = self.pairs.items[picture].path.decode("utf-8", "replace")
            self._tell(f"{name} cannot be decoded and is left out: {getattr(outcome, 'reason', '')}")

    def all(self) -> Iterator[tuple[list[int], NDArray[np.uint8]]]:
        """All pictures that can be decoded, as the encoder will see them, in chunks with their numbers."""
        yield from decoded(self._pool(self._spec), self.pairs, range(len(self.pairs)), self._tell)

    def _pool(self, spec: PixelSpec) -> DecodePool:
        with self._lock:
            if spec not in self._pools:
                self._pools[spec] = DecodePool(spec)
            return self._pools[spec]

    def close(self) -> None:
        """End the decoding processes."""
        with self._lock:
            while self._pools:
                self._pools.popitem()[1].close()
