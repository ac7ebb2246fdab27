"""TIFFs of kinds that Pillow does not read: many bands, 64-bit floats, deep colours.  Needs tifffile, an extra."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vsearch.decode.deep import BITS, NODATA, PHOTOMETRIC, SAMPLE_FORMAT, levels, nodata_of
from vsearch.decode.wire import Trouble

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WIDTH, _HEIGHT, _ORIENTATION, _BANDS, _PLANAR = 256, 257, 274, 277, 284
_OFFSETS, _LENGTHS = (273, 324), (279, 325)  # of strips and of tiles
_WANTED = {_WIDTH, _HEIGHT, _ORIENTATION, _BANDS, BITS, PHOTOMETRIC, SAMPLE_FORMAT, NODATA}
_WANTED |= {*_OFFSETS, *_LENGTHS}
_CLASSIC, _BIG = ("I", "H", "HHI"), ("Q", "Q", "HHQ")  # offset, number of entries, and entry up to its value
_LETTERS = {1: "B", 2: "s", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}  # TIFF 6.0
_WHITE_IS_ZERO, _CIELAB = 0, 8
_ADVICE = "; to read it: pip install 'vsearch-engine[tiff]'"
_KINDS = {1: "whole numbers", 2: "whole numbers", 3: "floats", 5: "complex numbers", 6: "complex numbers"}


def tags_of(data: bytes) -> dict[int, Any] | None:
    """The numbers and texts of a TIFF's first directory, a value or a tuple of values by tag; None where it is damaged.

    Pillow's own parser does not know BigTIFFs of big-endian machines.
    """
    order = "<" if data[:1] == b"I" else ">"
    offset, count, entry = _BIG if data[2:4] in (b"+\0", b"\0+") else _CLASSIC
    try:
        (start,) = struct.unpack_from(order + offset, data, 8 if offset == "Q" else 4)
        (entries,) = struct.unpack_from(order + count, data, start)
        at = start + struct.calcsize(count)
        step = struct.calcsize("=" + entry) + struct.calcsize(offset)
        places = range(at, min(at + entries * step, len(data) - step + 1), step)
        tags: dict[int, Any] = {}
        for place in places:
            (tag,) = struct.unpack_from(order + "H", data, place)
            if tag in _WANTED and tag not in tags:  # a hostile file may have thousands, all with the same long list
                tags[tag] = _value(data, place, order, entry, offset)
    except struct.error:
        return None
    sides = tags.get(_WIDTH), tags.get(_HEIGHT)
    return tags if all(isinstance(side, int) and side > 0 for side in sides) else None


def _value(data: bytes, place: int, order: str, entry: str, offset: str) -> Any:
    """Value of an entry: a number, a tuple of numbers, a text, or None."""
    _, kind, count = struct.unpack_from(order + entry, data, place)
    letter, most = _LETTERS.get(kind, ""), struct.calcsize(offset)
    at = place + struct.calcsize("=" + entry)
    size = struct.calcsize("=" + letter) * count
    if size > most:
        (at,) = struct.unpack_from(order + offset, data, at)
    if not letter or at + size > len(data):
        return None
    if letter == "s":
        return data[at : at + count].split(b"\0")[0].decode("ascii", "replace")
    values = struct.unpack_from(f"{order}{count}{letter}", data, at)
    return values[0] if len(values) == 1 else values


def is_misread(image: Image.Image) -> bool:
    """Whether Pillow opens a TIFF and gives wrong pixels for it: bands of more than 8 bits, one after the other."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(_PLANAR) == 2 and len(image.getbands()) > 1 and max(tags.get(BITS, (8,))) > 8


def size_of(tags: dict[int, Any]) -> tuple[int, int]:
    """Width and height."""
    return tags[_WIDTH], tags[_HEIGHT]


def open_unusual(data: bytes, tags: dict[int, Any]) -> Image.Image:
    """A picture of mode L, RGB or LAB with the size and orientation of the first page.

    Of three bands or more the first three are red, green and blue; of two the first is grey.
    Raises Trouble when bytes are missing, and when the kind is not read.
    """
    if _end(tags) > len(data):
        raise Trouble("truncated", "the file ends before the picture does")
    picture = _picture(_values(data, tags), tags)
    picture.format = "TIFF"
    if isinstance(orientation := tags.get(_ORIENTATION), int):
        picture.getexif()[_ORIENTATION] = orientation
    return picture


def _values(data: bytes, tags: dict[int, Any]) -> NDArray[Any]:
    """Array of height x width, or height x width x bands."""
    try:
        import tifffile
    except ModuleNotFoundError as error:
        raise _not_read(tags, _ADVICE) from error
    try:
        with tifffile.TiffFile(BytesIO(data)) as file:
            page = file.pages.first
            array: NDArray[Any] = page.asarray(maxworkers=1)
            axes = str(page.axes)
    except MemoryError:
        raise
    except Exception as error:  # tifffile raises anything
        raise _not_read(tags, _ADVICE if "imagecodecs" in str(error) else "") from error
    if axes == "SYX":
        array, axes = np.moveaxis(array, 0, -1), "YXS"
    if axes not in ("YX", "YXS") or array.shape[1::-1] != size_of(tags) or array.dtype.kind not in "buif":
        raise _not_read(tags)
    return array


def _picture(array: NDArray[Any], tags: dict[int, Any]) -> Image.Image:
    colour = array[..., :3] if array.ndim == 3 and array.shape[2] >= 3 else array.reshape(*array.shape[:2], -1)[..., 0]
    if tags.get(PHOTOMETRIC) == _CIELAB and colour.ndim == 3 and colour.dtype.itemsize == 2:
        # TIFF 6.0, section 23: L* is 0..65535, a* and b* are signed; Pillow's LAB has 128 for 0.
        return Image.fromarray(
            ((colour.astype(np.uint16) >> 8) ^ np.array([0, 128, 128], np.uint16)).astype(np.uint8), "LAB"
        )
    if colour.dtype == np.uint8:
        shallow = np.ascontiguousarray(colour)
    elif colour.dtype.kind == "f":
        shallow = levels(colour, (1.0, 255.0), nodata_of(tags))
    else:
        shallow = levels(colour, (2.0 ** _bits(tags) - 1,), nodata_of(tags))
    return Image.fromarray(255 - shallow if tags.get(PHOTOMETRIC) == _WHITE_IS_ZERO else shallow)


def _end(tags: dict[int, Any]) -> int:
    """Where the last strip or tile ends."""
    ends = [0]
    for offsets, lengths in zip(_OFFSETS, _LENGTHS, strict=True):
        starts, sizes = (_numbers(tags.get(tag)) for tag in (offsets, lengths))
        ends += [start + size for start, size in zip(starts, sizes, strict=False)]
    return max(ends)


def _numbers(value: Any) -> list[int]:
    values = value if isinstance(value, tuple) else (value,)
    return [number for number in values if isinstance(number, int)]


def _bits(tags: dict[int, Any]) -> int:
    return min(max(_numbers(tags.get(BITS)), default=1), 64)


def _not_read(tags: dict[int, Any], advice: str = "") -> Trouble:
    """Says what kind it is, in words."""
    bands = max(_numbers(tags.get(_BANDS)), default=1)
    kind = _KINDS.get(max(_numbers(tags.get(SAMPLE_FORMAT)), default=1), "values")
    kinds = f"{bands:,} band{'s' * (bands != 1)} of {_bits(tags)}-bit {kind}"
    return Trouble("unsupported", f"a TIFF of a kind that is not read ({kinds}){advice}")
