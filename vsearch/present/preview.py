"""Hits with their pictures, in the terminal."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from vsearch.present.names import printable
from vsearch.present.sheet import Thumbnails
from vsearch.present.sixel import sixel
from vsearch.present.table import one_line, relative
from vsearch.present.terminal import Protocol
from vsearch.types import Hit

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 240
# Cells of a typical font are about 10 x 20 pixels; a block of 40 x 20 half-height cells is square.
COLUMNS = 40
KITTY_CHUNK = 4096


def preview(hits: Sequence[Hit], thumbnails: Thumbnails, protocol: Protocol, base: bytes = b"") -> Iterator[str]:
    """Yield each hit as its picture and a line below it.

    thumbnails: makes the small pictures.  protocol: how the terminal shows them.
    """
    draw = DRAW[protocol]
    side = COLUMNS if protocol is Protocol.BLOCKS else SIDE
    pictures = thumbnails([hit.raw_path for hit in hits], side)
    for hit, image in zip(hits, pictures, strict=True):
        yield draw(image.convert("RGB")) if image is not None else "[gone, or cannot be read]\n"
        name = printable(relative(hit.raw_path, base))
        yield "  ".join(filter(None, [f"{hit.rank}", f"{hit.score:.3f}", name, one_line(hit.caption)])) + "\n\n"


def _png(image: Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def kitty(image: Image) -> str:
    """Kitty's graphics protocol: PNG in base64, in pieces of 4096 bytes (sw.kovidgoyal.net/kitty/graphics-protocol)."""
    data = base64.b64encode(_png(image)).decode()
    pieces = [data[at : at + KITTY_CHUNK] for at in range(0, len(data), KITTY_CHUNK)]
    out = []
    for number, piece in enumerate(pieces):
        first = "a=T,f=100,q=2," if number == 0 else ""
        more = int(number + 1 < len(pieces))
        out.append(f"\x1b_G{first}m={more};{piece}\x1b\\")
    return "".join(out) + "\n"


def iterm2(image: Image) -> str:
    """iTerm2's inline image: PNG in base64 (iterm2.com/documentation-images.html)."""
    data = _png(image)
    told = f"inline=1;size={len(data)};width={image.width}px;height={image.height}px"
    return f"\x1b]1337;File={told}:{base64.b64encode(data).decode()}\a\n"


def blocks(image: Image) -> str:
    """Upper half blocks: each cell shows two pixels in 24-bit colour, one above the other."""
    pixels = image.load()
    assert pixels is not None
    lines = []
    for y in range(0, image.height, 2):
        cells = []
        for x in range(image.width):
            upper = _colour(38, pixels[x, y])
            lower = _colour(48, pixels[x, y + 1]) if y + 1 < image.height else "49"
            cells.append(f"\x1b[{upper};{lower}m▀")
        lines.append("".join(cells) + "\x1b[0m\n")
    return "".join(lines)


def _colour(ground: int, pixel: object) -> str:
    assert isinstance(pixel, tuple)
    red, green, blue = pixel
    return f"{ground};2;{red};{green};{blue}"


DRAW: dict[Protocol, Callable[[Image], str]] = {
    Protocol.KITTY: kitty,
    Protocol.ITERM2: iterm2,
    Protocol.SIXEL: lambda image: sixel(image) + "\n",
    Protocol.BLOCKS: blocks,
}
