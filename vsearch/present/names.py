"""File names and captions are anything; what reaches a terminal, a page or a JSON reader is not."""

from __future__ import annotations

import os
import re
import unicodedata
from urllib.parse import quote_from_bytes

from vsearch.members.address import resolve
from vsearch.types import file_uri

# Controls, lone surrogates, line and paragraph separators.
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
_SURROGATE = re.compile("[\ud800-\udfff]")
# Marks that reorder the text around them: a name could pose as another one.
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def valid(text: str) -> str:
    """Replace lone surrogates by U+FFFD, so that the text can be encoded as UTF-8."""
    return _SURROGATE.sub("\ufffd", text)


def shown(path: bytes) -> str:
    """Decode a path for reading: U+FFFD for what is not UTF-8."""
    return path.decode("utf-8", "replace")


def printable(text: str | bytes) -> str:
    r"""Escape what a terminal would obey instead of show, as Python writes it: ``\x1b``, ``\n``, ``\u202e``.

    Bytes of a path that are not UTF-8 show as ``\udcff`` escapes of the byte, so that two names never look alike.
    """
    text = os.fsdecode(text) if isinstance(text, bytes) else text
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(c) if _is_unseen(c) else c for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _is_unseen(character: str) -> bool:
    return character in _REORDERING or unicodedata.category(character) in _UNSEEN


def link(path: bytes) -> str:
    """Where a picture is, for a browser: a member's archive, with its name as fragment (``clip.mp4#t=83.2`` seeks)."""
    pair = resolve(path)
    return file_uri(path) if pair is None else f"{file_uri(pair[0])}#{quote_from_bytes(pair[1], safe='/=')}"
