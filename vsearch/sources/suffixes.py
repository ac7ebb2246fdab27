"""Which file names of a folder are taken for pictures."""

from __future__ import annotations

PICTURE_SUFFIXES = frozenset(
    b".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .dib .tif .tiff .heic .heif .avif .mpo".split()
)


def suffix(name: bytes) -> bytes:
    """Return the lower-case suffix with its dot, empty where there is none (``.jpg`` alone is a hidden file)."""
    stem, dot, last = name.rpartition(b".")
    return dot + last.lower() if stem else b""
