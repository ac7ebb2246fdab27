"""How the bytes of a text are to be read that do not say so: captions in files, and tables.

A mark at the beginning counts, then UTF-8.  What is neither was written by an older program: charset-normalizer tells
which encoding reads it as words, Windows-1252 where several do, and for texts that are too short to tell.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

# Those of UTF-32 begin with those of UTF-16.
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
WESTERN = "cp1252"
_CANDIDATES = [WESTERN, "cp1250", "cp1251", "cp1253", "koi8_r", "cp932", "cp949", "gb18030", "big5"]
_LEAST = 24  # bytes of which an encoding can be told
_MOST = 1 << 16


def text_of(raw: bytes) -> str:
    """The text, with U+FFFD for what cannot be read."""
    try:
        return raw.decode(marked(raw) or "utf-8-sig")
    except UnicodeDecodeError as error:
        if marked(raw) or (len(raw) >= _MOST and error.start > len(raw) - 4):  # cut off in the middle of a letter
            return raw.decode(marked(raw) or "utf-8-sig", "replace")
    return raw.decode(detected([raw]), "replace")


def marked(raw: bytes) -> str | None:
    """The encoding that a mark at the beginning tells."""
    return next((name for mark, name in MARKS.items() if raw.startswith(mark)), None)


def detected(texts: Iterable[bytes]) -> str:
    """The encoding of texts that are not UTF-8."""
    from charset_normalizer import from_bytes

    raw = b"\n".join(_first(texts))
    if len(raw) < _LEAST:
        return WESTERN
    found = from_bytes(raw, cp_isolation=_CANDIDATES)
    best = found.best()
    if best is None:
        return WESTERN
    as_western = raw.decode(WESTERN, "replace") == str(best)
    ties = any(one.encoding == WESTERN and one.chaos <= best.chaos for one in found)
    return WESTERN if as_western or ties else best.encoding


def _first(texts: Iterable[bytes]) -> Iterator[bytes]:
    """Texts up to 64 kB in all."""
    length = 0
    for text in texts:
        yield text[: _MOST - length]
        length += len(text)
        if length >= _MOST:
            return


def foreign(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Those of some lines that are not UTF-8."""
    for line in lines:
        if not line.isascii():
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                yield line
