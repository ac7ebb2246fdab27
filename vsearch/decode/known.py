"""What a picture file is, without decoding it: the bytes' hash, and what its header says."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from vsearch.decode.formats import PILLOW_FORMATS
from vsearch.decode.job import Limits
from vsearch.decode.picture import orientation
from vsearch.decode.reading import read_file


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A picture file as it was when it was read.

    content: 16 bytes, XXH3-128 of its bytes.  width, height: as the picture stands upright.  turned: whether EXIF says
    that the stored pixels lie on a side or are mirrored.
    """

    content: bytes
    size: int
    mtime_ns: int
    ctime_ns: int
    width: int
    height: int
    turned: bool


def known_file(path: bytes, limits: Limits | None = None) -> KnownFile | None:
    """What a file is; None for one that is not there, cannot be read, or is no picture."""
    try:
        data, seen = read_file(path, (limits or Limits()).max_bytes)
        with Image.open(BytesIO(data), formats=PILLOW_FORMATS) as image:
            (width, height), turned = image.size, orientation(image)
    except Exception:  # Trouble, and Pillow's parsers raise anything
        return None
    if turned >= 5:
        width, height = height, width
    return KnownFile(seen.content, seen.size, seen.mtime_ns, seen.ctime_ns, width, height, turned != 1)
