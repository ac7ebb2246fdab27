"""The values that go into the decode room and come out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vsearch.types import Details

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vsearch.members.entry import Part
    from vsearch.types import Box


@dataclass(frozen=True)
class Limits:
    """What one file may cost.

    max_pixels_jpeg: width x height of a JPEG, which is decoded at a fraction of its size where that suffices.
    max_pixels: width x height of any other picture.  max_bytes: length of a file.
    seconds: wall-clock time per file and try (a CPU-time limit guards it).
    memory_mb: MiB of address space for decoding one file, on top of what the empty process has.
    """

    max_pixels_jpeg: int = 300_000_000
    max_pixels: int = 100_000_000
    max_bytes: int = 512 * 2**20
    seconds: float = 30.0
    memory_mb: int = 2048


@dataclass(frozen=True, slots=True)
class Job:
    """A file to decode.

    known: digests of contents that need no decoding (``Same`` comes back for those).  box: the part that is wanted.
    part: where in the file the picture lies; looked up when None.
    """

    path: bytes
    known: frozenset[bytes] = frozenset()
    box: Box | None = None
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture, ready for an encoder.

    content: 16 bytes, XXH3-128 of the file's bytes.  pixels: (size, size, 3) uint8, sRGB, upright.
    width, height: of the upright original.  size (bytes), mtime_ns, ctime_ns: of the file that was read.
    format: Pillow's name, such as ``JPEG``.  details: what its EXIF data say, not to be trusted.
    """

    path: bytes
    content: bytes
    pixels: NDArray[np.uint8]
    width: int
    height: int
    size: int
    mtime_ns: int
    ctime_ns: int
    format: str
    details: Details = field(default_factory=Details)


@dataclass(frozen=True, slots=True)
class Same:
    """A file whose bytes are already known: read, but not decoded."""

    path: bytes
    content: bytes
    size: int
    mtime_ns: int
    ctime_ns: int
