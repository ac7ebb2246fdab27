"""Which file names of a folder are taken for pictures."""

from __future__ import annotations

from collections import Counter

PICTURE_SUFFIXES = frozenset(
    b".jpg .jpeg .jpe .jfif .jif .jfi .pjpeg .pjp .jps .mpo .png .apng .webp .gif .bmp .dib .tif .tiff .btf .tf8 "
    b".heic .heif .heics .heifs .hif .avif .avifs".split()
)


def suffix(name: bytes) -> bytes:
    """Return the lower-case suffix with its dot, empty where there is none (``.jpg`` alone is a hidden file)."""
    stem, dot, last = name.rpartition(b".")
    return dot + last.lower() if stem else b""


_LONGEST = 16  # bytes; what is longer behind a dot is a part of the name
_MOST = 100  # suffixes that are told one by one


def count_by_suffix(counts: Counter[bytes]) -> dict[str, int]:
    """Numbers of files by suffix, most first; "" is that of names without one, "…" of all beyond the first hundred."""
    told: Counter[str] = Counter()
    for ending, count in counts.most_common():
        shown = ending.decode("utf-8", "replace") if len(ending) <= _LONGEST else ""
        told["…" if shown not in told and len(told) >= _MOST else shown] += count
    return dict(told.most_common())
