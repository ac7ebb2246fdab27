"""What a picture file is, without decoding it: the bytes' hash, and what its header says."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from itertools import chain

from PIL import Image

from vsearch.decode.formats import PILLOW_FORMATS
from vsearch.decode.job import Limits
from vsearch.decode.picture import orientation
from vsearch.decode.reading import read_file
from vsearch.decode.repairs import repairs
from vsearch.decode.wire import Trouble


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
    except Trouble:
        return None
    for readable in chain((data,), repairs(data, 0)):
        try:
            with Image.open(BytesIO(readable), formats=PILLOW_FORMATS) as image:
                (width, height), turned = image.size, orientation(image)
        except Exception:  # Pillow's parsers raise anything
            continue
        if turned >= 5:
            width, height = height, width
        return KnownFile(seen.content, seen.size, seen.mtime_ns, seen.ctime_ns, width, height, turned != 1)
    return None
