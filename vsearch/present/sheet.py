"""A contact sheet: one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from vsearch.present.names import link, printable
from vsearch.present.style import CSS
from vsearch.types import Hit

if TYPE_CHECKING:
    from PIL.Image import Image

# (paths, longest side in pixels) → for each path in order an upright RGB picture of at most that size, or None
# when it cannot be read.  Made by the caller, whose decoder is safe with hostile files and works in parallel.
Thumbnails = Callable[[Sequence[bytes], int], Iterable["Image | None"]]

SIDE = 400
QUALITY = 82
MAX_PICTURE_BYTES = 48 * 2**20


@dataclass(frozen=True)
class Section:
    """One query, in words, and what it found."""

    query: str
    hits: Sequence[Hit]


def html(
    sections: Sequence[Section],
    thumbnails: Thumbnails,
    *,
    title: str = "vsearch",
    max_bytes: int = MAX_PICTURE_BYTES,
) -> str:
    """Lay out the hits of one or several queries as a page with its pictures inside.

    thumbnails: makes the small pictures; they are stored as JPEG without metadata.
    max_bytes: what the JPEGs may take in all; hits beyond that are shown without a picture.
    The page runs no script and loads nothing (content security policy); names and captions are text in it.
    It shows file names and links to the files, so it tells where they lie.
    """
    sheet = _Sheet(thumbnails, max_bytes)
    body = "".join(sheet.section(section) for section in sections)
    digest = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    found = sum(len(section.hits) for section in sections)
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{_text(title)}</title><style>{CSS}</style></head>\n"
        f"<body><header><h1>{_text(title)}</h1><p>{_count(found, 'picture')} for "
        f"{_count(len(sections), 'query', 'queries')}, best first</p></header>\n{body}</body></html>\n"
    )


def _text(value: str | bytes) -> str:
    return escape(printable(value))


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


@dataclass
class _Sheet:
    thumbnails: Thumbnails
    room: int

    def section(self, section: Section) -> str:
        top = max((hit.score for hit in section.hits), default=0.0)
        wells = self.wells(section.hits)
        cards = "".join(_card(hit, top, well) for hit, well in zip(section.hits, wells, strict=True))
        listed = f"<ol>\n{cards}</ol>" if cards else '<p class="none">Nothing found.</p>'
        many = f"<small>{_count(len(section.hits), 'picture')}</small>"
        return f"<section><h2>{_text(section.query)}{many}</h2>\n{listed}</section>\n"

    def wells(self, hits: Sequence[Hit]) -> Iterator[str]:
        """Yield each picture, or why there is none."""
        pictures = iter(self.thumbnails([hit.raw_path for hit in hits], SIDE))
        for hit in hits:
            yield self.well(next(pictures), _words(hit)) if self.room > 0 else "left out: the page is full"

    def well(self, image: Image | None, alt: str) -> str:
        if image is None:
            return "this picture is gone or cannot be read"
        data = jpeg(image, SIDE)
        self.room -= len(data)
        source = base64.b64encode(data).decode()
        size = f'width="{image.width}" height="{image.height}"'
        return f'<img {size} alt="{alt}" src="data:image/jpeg;base64,{source}">'


def _words(hit: Hit) -> str:
    return _text(" ".join((hit.caption or "").split()))


def _card(hit: Hit, top: float, well: str) -> str:
    name, where = _text(os.path.basename(hit.raw_path)), _text(link(hit.raw_path))
    words = f'<div class="words">{_words(hit)}</div>' if hit.caption else ""
    share = max(0.0, min(1.0, hit.score / top)) if top > 0 else 0.0
    return (
        f'<li><figure><div class="well">{well}</div>'
        '<svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{100 * share:.1f}" height="1"/></svg>'
        f'<figcaption>{words}<div class="facts"><span>{hit.rank}</span><b>{hit.score:.3f}</b>'
        f'<a href="{where}" title="{_text(hit.raw_path)}">{name}</a></div></figcaption></figure></li>\n'
    )


def jpeg(image: Image, side: int) -> bytes:
    """JPEG of at most ``side`` pixels a side, transparency over white, without any metadata."""
    from PIL import Image as pillow

    small = image.copy()
    small.thumbnail((side, side))
    if "A" in small.getbands() or "transparency" in small.info:
        over = small.convert("RGBA")
        small = pillow.new("RGBA", over.size, "white")
        small.alpha_composite(over)
    plain = pillow.new("RGB", small.size)
    plain.paste(small.convert("RGB"))
    out = io.BytesIO()
    plain.save(out, "JPEG", quality=QUALITY, optimize=True, progressive=True)
    return out.getvalue()
