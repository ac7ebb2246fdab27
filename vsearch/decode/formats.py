"""Which picture formats are read, and what the first bytes of a file tell.  Imports nothing."""

from __future__ import annotations

SUPPORTED_SUFFIXES: frozenset[bytes] = frozenset(
    b".jpg .jpeg .jpe .jfif .jif .jfi .pjpeg .pjp .jps .mpo .png .apng .webp .gif .bmp .dib .tif .tiff .btf .tf8 "
    b".heic .heif .heics .heifs .hif .avif .avifs".split()
)
"""Lower-case endings, with the dot, of the files that are worth opening."""

# Everything that Pillow may try.  Its other parsers stay shut: EPS starts a program, and PSD, FITS, PDF and
# some thirty more are rare in collections of photographs and have had the bugs.
PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "HEIF")

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (8, b"WEBP", "WebP"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphei", "HEIF"),
    (4, b"ftyphev", "HEIF"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
)

_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF", "a PDF document"),
    (0, b"%!PS", "a PostScript document"),
    (0, b"PK\x03\x04", "a zip archive or office document"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
    (0, b"#!", "a script"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"8BPS", "a Photoshop document"),
    (4, b"ftyp", "a video"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (8, b"AVI ", "a video"),
    (0, b"ID3", "music"),
    (0, b"OggS", "music"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"SQLite format 3", "a database"),
)


def picture_format(head: bytes) -> str | None:
    """Name of the supported format that the first bytes (16 are enough) announce, or None."""
    return _match(head, _SIGNATURES)


def cut_short(data: bytes) -> bool:
    """Whether a file is shorter than its own header says (their decoders do not tell)."""
    if data[:4] == b"GIF8":
        flags = data[10] if len(data) > 10 else 0
        return len(data) < 13 + (6 << (flags & 7) if flags & 0x80 else 0)  # header and palette
    if data[:4] == b"RIFF":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if data[:4] in (b"II*\0", b"MM\0*"):
        return int.from_bytes(data[4:8], "little" if data[:1] == b"I" else "big") + 2 > len(data)
    if data[4:8] == b"ftyp":
        return _end_of_boxes(data) > len(data)
    return False


def _end_of_boxes(data: bytes) -> int:
    """Where the last top-level box would end (ISO/IEC 14496-12, 4.2)."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:  # 0: up to the end of the file
            return len(data)
        at += size
    return at


def looks_like(head: bytes) -> str:
    """Plain words for what a file is that is not a supported picture, from its first bytes."""
    known = _match(head, _OTHERS)
    if known:
        return known
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in start:
        return "an SVG drawing"
    if b"<html" in start or start.startswith(b"<!doctype html"):
        return "a web page"
    if start.startswith((b"<?xml", b"<")):
        return "XML"
    if not head[:512].strip(b"\0"):
        return "zeros"
    return "text" if _is_text(head[:512]) else "unknown data"


def _match(head: bytes, table: tuple[tuple[int, bytes, str], ...]) -> str | None:
    return next((name for at, magic, name in table if head[at : at + len(magic)] == magic), None)


def _is_text(data: bytes) -> bool:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        text = data[: error.start].decode() if error.start > len(data) - 4 else "\0"
    return all(c.isprintable() or c in "\t\r\n\f" for c in text)
