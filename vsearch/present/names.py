"""File names and captions are anything; what reaches a terminal, a page or a JSON reader is not."""

from __future__ import annotations

import os
import re
from urllib.parse import quote_from_bytes

from vsearch.members.address import resolve
from vsearch.types import file_uri

# Controls, lone surrogates, line and paragraph separators; and marks that reorder the text around them, with which a
# name could pose as another one.
_CONTROLS = "\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029"
_REORDERING = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNSEEN = re.compile(f"[{_CONTROLS}{_REORDERING}]")


def shown(path: bytes) -> str:
    """Decode a path for reading: U+FFFD for what is not UTF-8."""
    return path.decode("utf-8", "replace")


def printable(text: str | bytes) -> str:
    r"""Escape what a terminal would obey instead of show, as Python writes it: ``\x1b``, ``\n``, ``\u202e``.

    Bytes of a path that are not UTF-8 show as ``\udcff`` escapes of the byte, so that two names never look alike.
    """
    text = os.fsdecode(text) if isinstance(text, bytes) else text
    return _UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def printable_lines(text: str) -> str:
    r"""The same of several lines, all escapes as ``\u001b``: what is JSON stays JSON with the same values."""
    return "\n".join(_UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", line) for line in text.split("\n"))


def link(path: bytes) -> str:
    """Where a picture is, for a browser: a member's archive, with its name as fragment (``clip.mp4#t=83.2`` seeks)."""
    pair = resolve(path)
    return file_uri(path) if pair is None else f"{file_uri(pair[0])}#{quote_from_bytes(pair[1], safe='/=')}"
