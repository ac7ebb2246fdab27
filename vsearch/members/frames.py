"""One frame of a video or an animation, as a still picture."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vsearch.errors import SourceError
from vsearch.members.rows import as_tiff

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROUNDING = 0.0006  # s: addresses tell milliseconds
LEAST_DELAY = 0.011  # s: browsers show a frame of an animation that asks for less for
USUAL_DELAY = 0.1  # s
NEEDS_AV = "reading videos needs PyAV; type: pip install 'vsearch-engine[video]'"
_ANIMATIONS = {b"GIF8": "GIF", b"RIFF": "WEBP"}


def read(fd: int, seconds: float) -> bytes:
    """The first frame at a time or later, as a TIFF.  Raises SourceError.

    Runs the decoders of FFmpeg or Pillow: to be called in the decode room only.
    """
    path = f"/proc/self/fd/{fd}"
    kind = _ANIMATIONS.get(os.pread(fd, 4, 0))
    try:
        return _of_animation(path, kind, seconds) if kind and _is_animation(fd, kind) else _of_video(path, seconds)
    except (SourceError, MemoryError):
        raise
    except ModuleNotFoundError as error:
        raise SourceError(NEEDS_AV) from error
    except Exception as error:  # noqa: BLE001 - the decoders' own errors, which all mean damage
        raise SourceError(f"its frames cannot be read: {' '.join(str(error).split())[:100]}") from error


def _is_animation(fd: int, kind: str) -> bool:
    return kind == "GIF" or os.pread(fd, 4, 8) == b"WEBP"  # AVI begins like WebP


def delay(milliseconds: float) -> float:
    """How long browsers show a frame, in seconds."""
    told = milliseconds / 1000
    return told if told >= LEAST_DELAY else USUAL_DELAY


def _of_animation(path: str, kind: str, seconds: float) -> bytes:
    import numpy as np
    from PIL import Image, ImageSequence

    ends = 0.0
    with Image.open(path, formats=[kind]) as image:
        for frame in ImageSequence.Iterator(image):
            frame.load()  # a WebP tells the time of a frame only then
            ends += delay(float(frame.info.get("duration", 0) or 0))
            if ends > seconds + ROUNDING:
                return as_tiff(np.asarray(frame.convert("RGBA" if frame.has_transparency_data else "RGB")))
    raise SourceError("the animation ends before this moment")


def _of_video(path: str, seconds: float) -> bytes:
    import av

    with av.open(path) as container:
        if not container.streams.video:
            raise SourceError("there is no video in it")
        container.seek(int(seconds * av.time_base))  # to the last key frame before
        for frame in container.decode(container.streams.video[0]):
            if frame.time is not None and frame.time >= seconds - ROUNDING:
                return as_tiff(_upright(frame.to_ndarray(format="rgb24"), frame.rotation))
    raise SourceError("the video ends before this moment")


def _upright(pixels: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """A frame as it is to be shown.  degrees: counter-clockwise, what the display matrix of the file says."""
    import numpy as np

    return np.ascontiguousarray(np.rot90(pixels, round(degrees / 90)))
