"""JPEG files that decoders stumble over although every pixel is there (ITU-T T.81, annex B)."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import xxhash
from PIL import Image

_SOS, _EOI, _DHT = 0xDA, b"\xff\xd9", 0xC4
_FRAMES = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, 0xCC}
_NEEDED = frozenset(range(0xC0, 0xD0)) | {
    0xDB,
    0xDD,
    0xEE,
}  # frames, tables, restart interval, Adobe's colour transform
_NAMED = {0xE1: b"Exif\0\0", 0xE2: b"ICC_PROFILE\0"}
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
# What may follow the last byte that is there.  A picture of which something is missing differs between them.
_ENDS = (_EOI, b"\x55" * 64 + _EOI, b"\xaa" * 64 + _EOI)


def without_trimmings(data: bytes) -> bytes:
    """The file without segments that no decoder needs, and without what lies between segments, up to the first scan."""
    kept = [data[:2]]
    for marker, start, end in _segments(data):
        if marker == _SOS:
            kept.append(data[start:])
            break
        name = _NAMED.get(marker)
        if marker in _NEEDED or (name and data.startswith(name, start + 4)):
            kept.append(data[start:end])
    return b"".join(kept)


def ended(data: bytes, most_pixels: int) -> Iterator[bytes]:
    """Yield the file with an end, if it lacks no more than that; nothing when a part of the picture is missing.

    It is whole when every coefficient was in a scan to its last bit, and the pixels do not depend on what would follow.
    """
    stripped = data.rstrip(b"\0")  # zeros in place of the rest are what a download leaves that was broken off
    if stripped.endswith(b"\xff"):  # an escaped byte of data, or half of a marker
        stripped = stripped + b"\0" if len(stripped) < len(data) else stripped.rstrip(b"\xff")
    if not _has_all_scans(stripped):
        return
    pictures: set[bytes] = set()
    for end in _ENDS:
        pixels = _pixels(stripped + end, most_pixels)
        if pixels is None or pictures not in (set(), {pixels}):
            return
        pictures.add(pixels)
    yield stripped + _EOI


def _pixels(data: bytes, most_pixels: int) -> bytes | None:
    """Digest of the decoded picture; None for one that cannot be decoded or is too large."""
    try:
        with Image.open(BytesIO(data), formats=["JPEG"]) as image:
            if image.width * image.height > most_pixels:
                return None
            return xxhash.xxh3_128_digest(image.tobytes())
    except MemoryError:
        raise
    except Exception:  # Pillow's decoders raise anything
        return None


def _has_all_scans(data: bytes) -> bool:
    """Whether scans carry every coefficient of every component down to its last bit."""
    left: dict[int, set[int]] = {}
    for marker, start, end in _segments(data):
        body = data[start + 4 : end]
        if marker in _FRAMES and len(body) >= 6:
            left = {body[at]: set(range(64)) for at in range(6, len(body) - 2, 3)}
        elif marker == _SOS and len(body) >= 4 and len(body) >= 4 + 2 * body[0]:
            first, last, bits = body[-3:]
            if bits & 15 == 0:
                for component in body[1 : 1 + 2 * body[0] : 2]:
                    left.get(component, set()).difference_update(range(first, last + 1))
    return bool(left) and not any(left.values())


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment.  What lies between them, also the data of scans, is stepped over."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 <= len(data):
        marker = data[at + 1]
        if marker in (0x00, 0xFF) or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xD9:
            return
        end = at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
        yield marker, at, end
        at = end
