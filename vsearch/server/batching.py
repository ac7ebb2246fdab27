"""One call of the encoder for the queries of many threads.

A thread that finds the encoder free calls it at once, alone.  Those that come meanwhile wait for no clock: the first of
them takes all that have gathered when the encoder is free again.  So nobody ever waits longer than for the one call
that was running, and the busier the server, the larger the batches.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from vsearch.arguments import check_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.embed import Encoder
    from vsearch.types import EncoderInfo, PixelSpec

    Matrix = NDArray[np.float32]

MOST = 64
KEPT_TEXTS = 8192
FEW = 16  # what one query may hold

T = TypeVar("T")


class Batcher(Generic[T]):
    """Gathers single items of many threads.  together: items to one row each, in their order."""

    def __init__(self, together: Callable[[Sequence[T]], Matrix]) -> None:
        self._together = together
        self._turn = threading.Lock()
        self._guard = threading.Lock()
        self._waiting: list[tuple[T, Future[Matrix]]] = []

    def row(self, item: T) -> Matrix:
        """The row of one item, (dim,) float32.  Raises what ``together`` raises."""
        future: Future[Matrix] = Future()
        with self._guard:
            self._waiting.append((item, future))
        with self._turn:
            while not future.done():
                with self._guard:
                    batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                self._run(batch)
        return future.result()

    def _run(self, batch: list[tuple[T, Future[Matrix]]]) -> None:
        try:
            rows = self._together([item for item, _ in batch])
        except BaseException as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for one in batch:  # the error is of one of them, and the others' answers are due
                self._run([one])
            return
        for (_, future), row in zip(batch, rows, strict=True):
            future.set_result(row)


class Batched:
    """An encoder for many threads: single texts and pictures are batched, and the latest texts remembered."""

    def __init__(self, inner: Encoder) -> None:
        self._inner = inner
        self._texts: Batcher[str] = Batcher(inner.encode_texts)
        self._images: Batcher[NDArray[np.uint8]] = Batcher(lambda images: inner.encode_images(np.stack(images)))
        self._known: OrderedDict[Hashable, Matrix] = OrderedDict()
        self._guard = threading.Lock()

    @property
    def info(self) -> EncoderInfo:
        """That of the encoder inside."""
        return self._inner.info

    @property
    def preprocess(self) -> PixelSpec:
        """That of the encoder inside."""
        return self._inner.preprocess

    @property
    def temperature(self) -> float | None:
        """That of the encoder inside."""
        return self._inner.temperature

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """What the encoder inside gives; many at once, as when labels are embedded, are a batch of their own."""
        texts = check_texts(texts)
        if 0 < len(texts) <= FEW:
            return np.stack([self._text(text) for text in texts])
        return self._inner.encode_texts(texts)

    def encode_images(self, pixels: NDArray[np.uint8]) -> Matrix:
        """What the encoder inside gives."""
        return self._images.row(pixels[0])[None] if len(pixels) == 1 else self._inner.encode_images(pixels)

    def _text(self, text: str) -> Matrix:
        with self._guard:
            if (known := self._known.get(text)) is not None:
                self._known.move_to_end(text)
                return known
        row = self._texts.row(text)
        with self._guard:
            self._known[text] = row
            if len(self._known) > KEPT_TEXTS:
                self._known.popitem(last=False)
        return row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)  # what only some encoders have
