"""RAW files of cameras, by LibRaw: the preview that the camera put into them, else what the sensor saw."""

from __future__ import annotations

import io
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from vsearch.errors import SourceError
from vsearch.members.rows import as_tiff

if TYPE_CHECKING:
    from PIL.Image import Image

LEAST_PREVIEW = 512  # px, the longer side: a smaller one is a thumbnail for the camera's list
_ORIENTATION = 0x0112
_NEEDS = "reading RAW files needs rawpy; type: pip install 'vsearch-engine[raw]'"


def check_installed() -> None:
    """Raise SourceError when RAW files cannot be read here."""
    if find_spec("rawpy") is None:
        raise SourceError(_NEEDS)


def read(fd: int) -> bytes:
    """The preview as JPEG, or the developed picture at half its size as TIFF; upright.  Raises SourceError.

    Runs LibRaw: to be called in the decode room only.
    """
    check_installed()
    import rawpy

    try:
        with rawpy.imread(f"/proc/self/fd/{fd}") as opened:
            preview = _preview(opened)
            return preview if preview is not None else as_tiff(opened.postprocess(use_camera_wb=True, half_size=True))
    except rawpy.LibRawError as error:
        raise SourceError(f"damaged, or no RAW file: {' '.join(str(error).split())[:100]}") from error


def _preview(opened: Any) -> bytes | None:
    import rawpy
    from PIL import Image

    try:
        found = opened.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        return None
    if found.format is not rawpy.ThumbFormat.JPEG:
        return None
    try:
        with Image.open(io.BytesIO(found.data), formats=["JPEG"]) as image:
            if max(image.size) < LEAST_PREVIEW:
                return None
            turn = _TURNS.get(opened.sizes.flip)
            if turn is None or image.getexif().get(_ORIENTATION, 1) != 1:
                return bytes(found.data)
            return _turned(image, Image.Transpose(turn))
    except (OSError, ValueError, SyntaxError):  # a damaged preview; what the sensor saw may be whole
        return None


# LibRaw's flip, where the preview itself does not say how it lies -> PIL.Image.Transpose
_TURNS = {3: 3, 5: 2, 6: 4}


def _turned(image: Image, turn: Any) -> bytes:
    out = io.BytesIO()
    image.transpose(turn).save(out, "TIFF", exif=image.getexif())
    return out.getvalue()
