"""Pictures that are whole in files that are not: the same file without what is damaged beside the pixels.

What a decoder needs is kept, byte for byte; what it can do without (texts, sizes in metres, broken profiles) is left
out.  Nothing is made up: a file of which pixels are missing has no repair.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from vsearch.decode.jpeg import ended, without_trimmings

_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")  # PNG, third edition, 11.2
_USEFUL = (b"tRNS", b"eXIf", b"iCCP")
_ANY_KEPT = re.compile(b"|".join(_CRITICAL + _USEFUL))
_MOST_TRIES = 64  # a hostile file may have a million names of chunks, and each costs a checksum
_WEBP_FLAGS = {b"ICCP": 0x20, b"ALPH": 0x10, b"EXIF": 0x08}  # WebP container specification, "Extended File Format"
_WEBP_ALPHA = 0x10


def repairs(data: bytes, most_pixels: int) -> Iterator[bytes]:
    """Yield files to try in place of one that cannot be decoded, the most complete first.

    most_pixels: width x height above which nothing is decoded to find out whether a JPEG is whole.
    """
    if data.startswith(b"\x89PNG"):
        yield from _png(data)
    elif data.startswith(b"\xff\xd8"):
        bare = without_trimmings(data)
        yield from (bare, *ended(data, most_pixels), *ended(bare, most_pixels))
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        yield from _webp(data)


def png_fault(data: bytes) -> str | None:
    """What is wrong with a PNG's chunks, in words; None when they are whole and all there, or it has none."""
    for kind, start, end in _chunks(data):
        if end > len(data):
            return "the file ends before the picture does"
        if kind in _CRITICAL and not _is_right(data, start, end):
            return f"the PNG's {kind.decode()} chunk has a wrong checksum"
        if kind == b"IEND":
            return None
    return "the file ends before the picture does"


def _png(data: bytes) -> Iterator[bytes]:
    chunks = list(_chunks(data))
    for useful in (_USEFUL, _USEFUL[:2], _USEFUL[1:2]):
        kept = [
            data[start:end]
            for kind, start, end in chunks
            if kind in _CRITICAL or (kind in useful and _is_right(data, start, end))
        ]
        yield data[:8] + b"".join(kept)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each chunk up to IEND (the last may end behind the data).

    Where the length of a dispensable chunk leads nowhere, the next chunk that matters and has a right checksum follows.
    """
    at = 8
    while at + 8 <= len(data):
        kind, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")
        if kind not in _CRITICAL and not _leads_on(data, at, end):
            at = _next_kept(data, at + 8)
            continue
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end


def _leads_on(data: bytes, start: int, end: int) -> bool:
    return _is_right(data, start, end) or data[end + 4 : end + 8].isalpha()


def _next_kept(data: bytes, at: int) -> int:
    for tried, match in enumerate(_ANY_KEPT.finditer(data, at + 4)):
        start = match.start() - 4
        if _is_right(data, start, start + 12 + int.from_bytes(data[start : start + 4], "big")):
            return start
        if tried == _MOST_TRIES:
            break
    return len(data)


def _is_right(data: bytes, start: int, end: int) -> bool:
    """Whether a chunk is there and has the checksum that it says."""
    if end > len(data):
        return False
    return zlib.crc32(memoryview(data)[start + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")


def _webp(data: bytes) -> Iterator[bytes]:
    """A still WebP of its whole chunks.  Animations are left alone: what was cut off may be the first frame's."""
    chunks: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(data):
        kind, end = data[at : at + 4], at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if end <= len(data):
            chunks.setdefault(kind, data[at:end] + b"\0" * (end % 2))
        at = end + end % 2
    extended = chunks.pop(b"VP8X", None)
    if b"ANIM" in chunks or not (b"VP8 " in chunks or b"VP8L" in chunks):
        return
    for dispensable in ((), (b"EXIF", b"ICCP")):
        kinds = [k for k in (b"ICCP", b"ALPH", b"VP8 ", b"VP8L", b"EXIF") if k in chunks and k not in dispensable]
        body = b"".join(chunks[kind] for kind in kinds)
        if extended and len(extended) >= 18:
            alpha = extended[8] & _WEBP_ALPHA if b"VP8L" in kinds else 0
            flags = alpha | sum(_WEBP_FLAGS.get(kind, 0) for kind in kinds)
            if extended[8] & _WEBP_ALPHA and not flags & _WEBP_ALPHA:
                return  # what is transparent is lost
            body = extended[:8] + bytes([flags]) + extended[9:] + body
        yield b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body
