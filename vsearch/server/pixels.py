"""Pictures from files and from clients, decoded in killable workers and nowhere else."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vsearch.decode import Decoded, DecodePool, unpadded
from vsearch.decode import Limits as DecodeLimits
from vsearch.errors import DecodeError, SourceError
from vsearch.members.entry import Part
from vsearch.server.opening import gone, in_memory, reopened
from vsearch.server.settings import Limits
from vsearch.types import Box, PixelSpec

QUALITY = 82


class Pixels:
    """Keeps a pool of workers for each geometry that is asked for."""

    def __init__(self, limits: Limits) -> None:
        self._workers = limits.decode_workers
        most = limits.pixels
        self._limits = DecodeLimits(max_pixels_jpeg=most, max_pixels=most, seconds=limits.decode_seconds)
        self._guard = threading.Lock()
        self._pools: dict[PixelSpec, DecodePool] = {}

    def decode(self, path: bytes, spec: PixelSpec, box: Box | None = None, part: Part | None = None) -> Decoded:
        """What ``vsearch.decode.decode_one`` gives, without starting a process each time."""
        return self._pool(spec).one(path, box, part)

    def jpeg(self, fd: int, side: int, part: Part | None = None) -> bytes:
        """The picture of an open file as a JPEG without metadata, its longest side at most ``side`` pixels.

        Raises DecodeError, and Refused when the file went away.
        """
        spec = PixelSpec(size=side, resize="longest", fill=255)
        try:
            decoded = self.decode(reopened(fd), spec, part=part)
        except SourceError:
            raise gone() from None
        out = io.BytesIO()
        unpadded(decoded, spec).save(out, "JPEG", quality=QUALITY)
        return out.getvalue()

    def _pool(self, spec: PixelSpec) -> DecodePool:
        with self._guard:
            if spec not in self._pools:
                self._pools[spec] = DecodePool(spec, self._limits, self._workers)
            return self._pools[spec]

    def close(self) -> None:
        """End the workers."""
        with self._guard:
            for pool in self._pools.values():
                pool.close()


@contextmanager
def as_file(data: bytes) -> Iterator[Path]:
    """Bytes as a file that has a path but lies on no disk."""
    if not data:
        raise DecodeError("an empty picture")
    fd = in_memory(data)
    try:
        yield Path(os.fsdecode(reopened(fd)))
    finally:
        os.close(fd)
