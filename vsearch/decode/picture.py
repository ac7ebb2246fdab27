"""One picture: bytes to upright sRGB pixels.  Runs inside a worker (``fit`` also in the host process)."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from vsearch.decode.colour import opaque, to_srgb
from vsearch.decode.deep import eight_bit
from vsearch.decode.exif import details_of
from vsearch.decode.formats import PILLOW_FORMATS, cut_short, looks_like, picture_format
from vsearch.decode.geometry import corners, draft_scale, pad, resize, scaled_size
from vsearch.decode.repairs import png_fault, repairs
from vsearch.decode.tiff import is_misread, open_unusual, size_of, tags_of
from vsearch.decode.wire import Picture, Trouble
from vsearch.errors import DecodeError, QueryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.decode.job import Decoded, Limits
    from vsearch.types import Box, PixelSpec

_ORIENTATION = 0x0112
# EXIF 2.32, tag 274: how the stored picture is to be turned to stand upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_CUT_SHORT = ("truncated", "unexpected end", "premature end", "end of file", "not enough data", "eof")


def fit(image: Image.Image, spec: PixelSpec, box: Box | None = None) -> NDArray[np.uint8]:
    """Pixels of a picture in memory: upright, alpha over white, sRGB, scaled.  Returns (size, size, 3) uint8.

    box: the part that is wanted, of the picture as it stands upright.  The picture itself is left as it is.
    Raises DecodeError when it was opened from a file that is damaged, QueryError when the part is not inside it.
    """
    try:
        image.load()
    except Exception as error:  # Pillow's decoders raise anything
        raise DecodeError(f"the picture cannot be decoded: {error}") from error
    icc = image.info.get("icc_profile") if image.mode != "LAB" else None  # Lab says by itself what its colours are
    upright = _turn(eight_bit(image), orientation(image))
    if box is not None:
        upright = upright.crop(corners(box, *upright.size))
    small = to_srgb(resize(opaque(upright), spec), icc if isinstance(icc, bytes) else None)
    return np.asarray(pad(small, spec), dtype=np.uint8)


def unpadded(decoded: Decoded, spec: PixelSpec) -> Image.Image:
    """The picture of pixels that were padded (``resize="longest"``): no padding, and never larger than the original."""
    width, height = scaled_size(decoded.width, decoded.height, spec)
    left, top = (spec.size - width) // 2, (spec.size - height) // 2
    image = Image.fromarray(decoded.pixels[top : top + height, left : left + width])
    image.thumbnail((decoded.width, decoded.height))
    return image


def decode(data: bytes, spec: PixelSpec, limits: Limits, box: Box | None = None) -> tuple[Picture, NDArray[np.uint8]]:
    """Picture and pixels of a file's bytes, or of a part of it.

    A file that is damaged beside the pixels gives the picture all the same.
    Raises Trouble with a code and one line that a user can read.
    """
    try:
        return _decode(data, spec, limits, box)
    except Trouble as trouble:
        if trouble.problem.code in ("damaged", "truncated"):
            for repaired in repairs(data, limits.max_pixels_jpeg):
                with suppress(Trouble):
                    return _decode(repaired, spec, limits, box)
        raise


def _decode(data: bytes, spec: PixelSpec, limits: Limits, box: Box | None) -> tuple[Picture, NDArray[np.uint8]]:
    image = _open(data, limits)
    name = str(image.format)
    width, height = image.size
    _check_size(name, width, height, limits)
    try:
        if spec.draft and box is None and name in ("JPEG", "MPO"):
            scale = draft_scale(width, height, spec)
            image.draft(None, (width // scale, height // scale))
        image.load()
        if orientation(image) >= 5:
            width, height = height, width
        return Picture(width, height, name, details_of(image)), fit(image, spec, box)
    except MemoryError:
        raise
    except QueryError as error:
        raise Trouble("outside", str(error)) from error
    except Exception as error:
        raise _trouble(picture_format(data) or name, error, data) from error


def _open(data: bytes, limits: Limits) -> Image.Image:
    if not data:
        raise Trouble("not_an_image", "the file is empty")
    known = picture_format(data)
    try:
        image = Image.open(BytesIO(data), formats=PILLOW_FORMATS)
        return _unusual(data, limits) or image if is_misread(image) else image
    except (MemoryError, Trouble):
        raise
    except Exception as error:
        if known == "TIFF" and (unusual := _unusual(data, limits)):
            return unusual
        if known or not isinstance(error, UnidentifiedImageError):
            raise _trouble(known or "picture", error, data) from error
        reason = f"not a picture that vsearch reads (the first bytes look like {looks_like(data)})"
        raise Trouble("not_an_image", reason) from error


def _unusual(data: bytes, limits: Limits) -> Image.Image | None:
    """A TIFF of a kind that Pillow does not read; None where it is no such thing."""
    tags = tags_of(data)
    if tags is None:
        return None
    _check_size("TIFF", *size_of(tags), limits)
    return open_unusual(data, tags)


def _check_size(name: str, width: int, height: int, limits: Limits) -> None:
    most = limits.max_pixels_jpeg if name in ("JPEG", "MPO") else limits.max_pixels
    if width < 1 or height < 1:
        raise Trouble("damaged", f"the {name} says that it has no pixels")
    if width * height > most:
        megapixels = f"{width} x {height} pixels, more than {most / 1e6:,.6g} million"
        raise Trouble("too_large", f"{megapixels}; raise the limit with --max-pixels")


def _trouble(name: str, error: Exception, data: bytes) -> Trouble:
    text = " ".join(str(error).split())
    fault = png_fault(data) if name == "PNG" else None
    if fault:
        return Trouble("truncated" if "ends" in fault else "damaged", fault)
    if cut_short(data) or any(words in text.lower() for words in _CUT_SHORT):
        return Trouble("truncated", "the file ends before the picture does")
    if isinstance(error, UnidentifiedImageError):
        return Trouble("damaged", f"the {name} header is damaged or cut short")
    text = "".join(c for c in text if c.isprintable())[:100]
    return Trouble("damaged", f"damaged {name} data ({text or type(error).__name__})")


def orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 when there is none or the EXIF data is broken."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
        return value if isinstance(value, int) and 1 <= value <= 8 else 1
    except Exception:  # Pillow's EXIF parser raises anything from SyntaxError to struct.error
        return 1


def _turn(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image
