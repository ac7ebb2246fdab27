"""Hits in a notebook: the pictures in a row, each with its rank, its confidence and its name."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from html import escape

from vsearch.decode.thumbnails import thumbnails
from vsearch.present import printable
from vsearch.present.sheet import jpeg
from vsearch.types import Hit

MOST = 24
SIDE = 200

# Notebooks keep style attributes and drop style sheets; colours are the notebook's own, so both themes work.
_ROW = "display:flex;flex-wrap:wrap;gap:12px;align-items:flex-end"
_FIGURE = f"margin:0;width:{SIDE}px;font-size:12px;line-height:1.4"
_NAME = "overflow:hidden;text-overflow:ellipsis;white-space:nowrap"


def as_html(hits: Sequence[Hit]) -> str:
    """The first 24 hits as HTML that needs nothing beside it and runs nothing; names and captions are text in it.

    Pictures are read now, in processes that a hostile file cannot harm, and are in the HTML as small JPEGs without
    metadata.
    """
    shown = hits[:MOST]
    images = thumbnails([hit.raw_path for hit in shown], SIDE)
    figures = []
    for hit, image in zip(shown, images, strict=True):
        if image is None:
            look = "<div>this picture is gone or cannot be read</div>"
        else:
            source = base64.b64encode(jpeg(image, SIDE)).decode()
            look = f'<img alt="" style="border-radius:8px" src="data:image/jpeg;base64,{source}">'
        figures.append(f'<figure style="{_FIGURE}">{look}{_words(hit)}</figure>')
    more = f"<p>and {len(hits) - MOST:,} more</p>" if len(hits) > MOST else ""
    return f'<div style="{_ROW}">{"".join(figures)}</div>{more}' if figures else "<p>Nothing found.</p>"


def _words(hit: Hit) -> str:
    sure = f"{hit.score:.3f}" if hit.confidence is None else f"{hit.confidence:.0%}"
    caption = f"<div>{_text(hit.caption)}</div>" if hit.caption else ""
    name, path = _text(os.path.basename(hit.raw_path)), _text(hit.raw_path)
    return f'<figcaption>{caption}<div title="{path}" style="{_NAME}">{hit.rank} · {sure} · {name}</div></figcaption>'


def _text(value: str | bytes) -> str:
    return escape(printable(value))
