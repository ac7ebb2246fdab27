"""From any width and height to the square that an encoder wants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from vsearch.errors import QueryError

if TYPE_CHECKING:
    from vsearch.types import Box, PixelSpec

# A JPEG is decoded at the smallest fraction whose sides are still this many times the wanted ones.  Measured on
# 100 JPEGs of 1,400 to 3,600 pixels (enlarged photographs, mosaics of photographs, noise, gratings, text;
# quality 75 to 92) as cosine between EfficientNet-Lite2 features after fraction and after full decoding, at
# 260 pixels:
#   factor      1      1.5    2      2.5    3      4
#   lowest      0.974  0.991  0.996  0.998  0.998  0.9985
#   below 0.999   62     37     22      5      4      1
# With 4 every photograph and mosaic is above 0.9994 (also squashed to 224); what is below is noise and gratings.
# Pictures of 12 megapixels still take half the time, those of 48 a third.
DRAFT_FACTOR = 4.0

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def scaled_size(width: int, height: int, spec: PixelSpec) -> tuple[int, int]:
    """Size of the whole picture after scaling, before any crop or padding (rounded as torchvision does)."""
    if spec.resize == "squash":
        return spec.size, spec.size
    if spec.resize == "longest":
        ratio = spec.size / max(width, height)
        return max(1, round(width * ratio)), max(1, round(height * ratio))
    short = max(spec.scale_to, spec.size)
    long = int(short * max(width, height) / min(width, height))
    return (short, long) if width <= height else (long, short)


def draft_scale(width: int, height: int, spec: PixelSpec) -> int:
    """Largest of 8, 4, 2, 1 by which a JPEG's sides may be divided while decoding."""
    to_width, to_height = scaled_size(width, height, spec)
    room = min(width / to_width, height / to_height) / DRAFT_FACTOR
    return next((s for s in (8, 4, 2) if room >= s), 1)


def resize(image: Image.Image, spec: PixelSpec) -> Image.Image:
    """Scale, and crop the centre where the spec says so, in one pass.

    Only the part that is kept is computed: scaling a 1 x 20,000 picture whole and cropping then would
    need a picture of 256 x 5,120,000.  The pixels are those of scaling whole and cropping.
    """
    (width, height), (to_width, to_height) = image.size, scaled_size(*image.size, spec)
    filter = _FILTERS[spec.interpolation]
    if spec.resize != "shortest":
        return image.resize((to_width, to_height), filter)
    left, top = round((to_width - spec.size) / 2), round((to_height - spec.size) / 2)
    x, y = width / to_width, height / to_height
    box = (
        left * x,
        top * y,
        min((left + spec.size) * x, width),
        min((top + spec.size) * y, height),
    )
    return image.resize((spec.size, spec.size), filter, box=box)


def pad(image: Image.Image, spec: PixelSpec) -> Image.Image:
    """Centre an RGB picture on a square of the fill value; one that fills the square is returned as it is."""
    if image.size == (spec.size, spec.size):
        return image
    square = Image.new("RGB", (spec.size, spec.size), (spec.fill,) * 3)
    square.paste(image, ((spec.size - image.width) // 2, (spec.size - image.height) // 2))
    return square


def corners(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, upper, right and lower edge in whole pixels of a box in a picture of that size: at least one pixel.

    Raises QueryError when it is empty, not a number, or not inside the picture.
    """
    across, down = (width, height) if box.unit == "fractions" else (1, 1)
    left, upper = box.x * across, box.y * down
    right, lower = left + box.width * across, upper + box.height * down
    inside = 0 <= left < right <= width + 1e-6 and 0 <= upper < lower <= height + 1e-6
    part = f"the part {box.x:g},{box.y:g},{box.width:g},{box.height:g} (x, y, width, height in {box.unit})"
    if not inside:  # also for what is not a number
        empty = "has no width or no height, and " if box.width <= 0 or box.height <= 0 else ""
        raise QueryError(f"{part} {empty}is not inside a picture of {width} x {height} pixels")
    x, y = min(int(left), width - 1), min(int(upper), height - 1)
    return x, y, min(max(round(right), x + 1), width), min(max(round(lower), y + 1), height)
