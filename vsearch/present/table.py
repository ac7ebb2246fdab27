"""Hits for people who read a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.style import Style
from rich.table import Table
from rich.text import Text

from vsearch.present.names import link, printable
from vsearch.types import Hit


def table(hits: Sequence[Hit], base: bytes = b"") -> Table:
    """Rank, score, confidence where one is known, path and caption.

    Paths below ``base`` (a folder) are shown relative to it.

    Copies of a picture, files with the same bytes, are named below it.

    Paths are hyperlinks where the terminal knows them.  The caption column is there when any hit has one.
    """
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    made.add_column("#", justify="right", style="dim")
    made.add_column("score", justify="right", style="cyan")
    with_confidence = any(hit.confidence is not None for hit in hits)
    if with_confidence:
        made.add_column("confidence", justify="right")
    made.add_column("picture", overflow="fold")
    with_captions = any(hit.caption for hit in hits)
    if with_captions:
        made.add_column("caption", overflow="fold", style="italic")
    for hit in hits:
        name = Text(printable(relative(hit.raw_path, base)), style=Style(link=link(hit.raw_path)))
        for copy in hit.raw_copies:
            name.append(f"\n= {printable(relative(copy, base))}", style=Style(dim=True, link=link(copy)))
        caption = [Text(one_line(hit.caption))] if with_captions else []
        confidence = [_shown(hit.confidence)] if with_confidence else []
        made.add_row(str(hit.rank), f"{hit.score:.3f}", *confidence, name, *caption)
    return made


def _shown(confidence: float | None) -> str:
    return "" if confidence is None else f"{confidence:.2f}"


def relative(path: bytes, base: bytes) -> bytes:
    """The path as seen from ``base`` where it lies below it, else as it is."""
    inside = base.rstrip(b"/") + b"/"
    return path[len(inside) :].lstrip(b"/") or path if base and path.startswith(inside) else path


def one_line(caption: str | None, length: int = 200) -> str:
    """A caption as one line of at most ``length`` characters, safe for a terminal."""
    text = " ".join((caption or "").split())
    return printable(text if len(text) <= length else text[: length - 1] + "…")
