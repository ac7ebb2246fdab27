"""Re-ranking for clients: a few at a time, with the decoders and the time that the server has for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vsearch.errors import DecodeError, SourceError
from vsearch.rerank import DEPTH, Reranker, known_patches
from vsearch.rerank.reranker import patches_of
from vsearch.rerank.tokens import Tokens
from vsearch.server.faults import busy
from vsearch.server.pixels import Pixels
from vsearch.types import Failure

if TYPE_CHECKING:
    from vsearch.index import Index
    from vsearch.types import Hit

AT_ONCE = 2
READ_TOGETHER = 10  # pictures that go through the towers together, before the clock is looked at again
WAIT_SECONDS = 1.0  # for a place; those who wait hold threads that others could use


class Reranking:
    """One re-ranker for all collections, loaded when the server starts.

    A request costs at most ``DEPTH`` pictures; those whose patches are stored with the index are not read, and the
    others are read for so many seconds: what is not read by then comes after what is, as what cannot be read does.
    """

    depth = DEPTH

    def __init__(self, folder: Path, pixels: Pixels, seconds: float) -> None:
        """Raises EncoderUnavailable, EncoderError."""
        self._reranker = Reranker.load(folder)
        self._pixels, self._seconds = pixels, seconds
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def warm(self) -> None:
        """Load what the first request would wait for."""
        size, towers = self._reranker.towers.preprocess.size, self._reranker.towers
        self._reranker.score(patches_of(np.zeros((1, size, size, 3), np.uint8), towers), ["a picture"])

    def order(self, index: Index, text: str, hits: Sequence[Hit]) -> list[Hit]:
        """Hits in the order of ``Reranker.rerank``.  Raises Refused (503) when too many wait, EncoderError."""
        if not self._places.acquire(timeout=WAIT_SECONDS):
            raise busy("too many re-rankings at once; try again, or without rerank")
        try:
            known = known_patches(index.store, self._reranker.towers, [hit.id for hit in hits[:DEPTH]])
            return self._reranker.rerank(text, hits, DEPTH, known, self._read)
        finally:
            self._places.release()

    def _read(self, paths: Sequence[bytes]) -> tuple[Tokens, list[Failure]]:
        parts: list[Tokens] = []
        failures: list[Failure] = []
        until = time.monotonic() + self._seconds
        for first in range(0, len(paths), READ_TOGETHER):
            pixels = []
            for path in paths[first : first + READ_TOGETHER]:
                try:
                    if time.monotonic() >= until:
                        raise DecodeError("no time was left to read it")
                    pixels.append(self._pixels.decode(path, self._reranker.towers.preprocess).pixels)
                except (DecodeError, SourceError) as error:
                    failures.append(Failure(path, "decode", str(error)))
            if pixels:
                parts.append(patches_of(np.stack(pixels), self._reranker.towers))
        return Tokens.joined(parts), failures
