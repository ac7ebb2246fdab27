"""One frame of a video or an animation, as a still picture."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from vsearch.errors import SourceError
from vsearch.members.delays import number_at
from vsearch.members.rows import as_tiff

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROUNDING = 0.0006  # s: addresses tell milliseconds
NEEDS_AV = "reading videos needs PyAV; type: pip install 'vsearch-engine[video]'"
_ANIMATIONS = {b"GIF8": "GIF", b"RIFF": "WEBP"}


def read(fd: int, seconds: float) -> bytes:
    """The first frame at a time or later, as a TIFF.  Raises SourceError.

    Runs the decoders of FFmpeg or Pillow: to be called in the decode room only.
    """
    path = f"/proc/self/fd/{fd}"
    kind = _ANIMATIONS.get(os.pread(fd, 4, 0))
    try:
        return _of_animation(fd, path, kind, seconds) if kind and _is_animation(fd, kind) else _of_video(path, seconds)
    except (SourceError, MemoryError):
        raise
    except ModuleNotFoundError as error:
        raise SourceError(NEEDS_AV) from error
    except Exception as error:  # noqa: BLE001 - the decoders' own errors, which all mean damage
        raise SourceError(f"its frames cannot be read: {' '.join(str(error).split())[:100]}") from error


def _is_animation(fd: int, kind: str) -> bool:
    return kind == "GIF" or os.pread(fd, 4, 8) == b"WEBP"  # AVI begins like WebP


def _of_animation(fd: int, path: str, kind: str, seconds: float) -> bytes:
    import numpy as np
    from PIL import Image, ImageSequence

    number = number_at(fd, round(seconds * 1000))
    with Image.open(path, formats=[kind]) as image:
        for at, frame in enumerate(ImageSequence.Iterator(image) if number is not None else ()):
            if at == number:
                return as_tiff(np.asarray(frame.convert("RGBA" if frame.has_transparency_data else "RGB")))
    raise SourceError("the animation ends before this moment")


def _of_video(path: str, seconds: float) -> bytes:
    import av

    for begin in (seconds, None):  # some formats seek past the moment: then from the beginning
        with av.open(path) as container:
            if not container.streams.video:
                raise SourceError("there is no video in it")
            frame = _frame_from(container, begin, seconds)
            if frame is not None:
                return as_tiff(_upright(frame.to_ndarray(format="rgb24"), frame.rotation))
    raise SourceError("the video ends before this moment")


def _frame_from(container: Any, begin: float | None, seconds: float) -> Any:
    """The first frame at a time or later, or the last that is shown then; None if there is none or it was missed."""
    import av

    if begin is not None:
        container.seek(int(begin * av.time_base))  # to the last key frame before
    last = None
    for frame in container.decode(container.streams.video[0]):
        if frame.time is None:
            continue
        if begin is not None and last is None and frame.time > seconds + ROUNDING:
            return None
        last = frame
        if frame.time >= seconds - ROUNDING:
            return frame
    return last if last is not None and seconds <= _end(last) + ROUNDING else None


def _end(frame: Any) -> float:
    """Until when the last frame of a video is shown: its moment may be told by a packet that gives no frame."""
    return float(frame.time + (frame.duration or 0) * (frame.time_base or 0))


def _upright(pixels: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """A frame as it is to be shown.  degrees: counter-clockwise, what the display matrix of the file says."""
    import numpy as np

    return np.ascontiguousarray(np.rot90(pixels, round(degrees / 90)))
