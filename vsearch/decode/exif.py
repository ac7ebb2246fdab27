"""What a camera wrote beside the pixels: time, place, camera, lens, sensitivity.  Runs inside a worker.

Tags as in EXIF 2.32 (CIPA DC-008-2019), read by Pillow.  Nothing in it is to be trusted: a value that is not what
the standard says it is counts as not known, and one bad value costs no other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from PIL import ExifTags, Image

from vsearch.types import Details

T = TypeVar("T")
_Tags = Mapping[int, Any]

MOST_CHARACTERS = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999  # the years 1 to 9999, in microseconds since 1970
_MOST_OFFSET = 14 * 60  # minutes
_MOST_ISO = (1 << 31) - 1
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)")
# The time of the exposure, else that of scanning it, else that of the last change; each with its offset from UTC.
_TIMES = (
    (ExifTags.Base.DateTimeOriginal, ExifTags.Base.OffsetTimeOriginal),
    (ExifTags.Base.DateTimeDigitized, ExifTags.Base.OffsetTimeDigitized),
    (ExifTags.Base.DateTime, ExifTags.Base.OffsetTime),
)


def details_of(image: Image.Image) -> Details:
    """The details of an opened picture; empty where it has no EXIF data or only rubbish."""
    top, inner, place = _directories(image)
    taken, offset = _time({**top, **inner})
    return Details(
        taken=taken,
        offset=offset,
        latitude=_tried(lambda: _angle(place, ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef, "NS", 90)),
        longitude=_tried(lambda: _angle(place, ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef, "EW", 180)),
        camera=_tried(lambda: _camera(_text(top, ExifTags.Base.Make), _text(top, ExifTags.Base.Model))),
        lens=_tried(lambda: _text(inner, ExifTags.Base.LensModel) or None),
        iso=_tried(lambda: _iso(inner)),
    )


def _tried(read: Callable[[], T | None]) -> T | None:
    """What a hostile value gives: Pillow's own classes raise anything when they are converted."""
    try:
        return read()
    except MemoryError:
        raise
    except Exception:
        return None


def _directories(image: Image.Image) -> tuple[_Tags, _Tags, _Tags]:
    """The tags of the picture, of the exposure, and of the place."""
    exif = _tried(image.getexif)
    if exif is None:
        return {}, {}, {}

    def read(directory: int) -> _Tags:
        return _tried(lambda: dict(exif.get_ifd(directory))) or {}

    return _tried(lambda: dict(exif)) or {}, read(ExifTags.IFD.Exif), read(ExifTags.IFD.GPSInfo)


def _text(tags: _Tags, tag: int) -> str:
    """A text without what terminals act on, on one line, cut to 200 characters; empty for none."""
    value = tags.get(tag, "")
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return ""
    value = value.split("\0")[0]
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())[:MOST_CHARACTERS]


def _camera(make: str, model: str) -> str | None:
    """Maker and model in one; the maker once: many write it into the model too."""
    if make and model and not model.lower().startswith(make.split()[0].lower()):
        return f"{make} {model}"
    return model or make or None


def _time(tags: _Tags) -> tuple[int | None, int | None]:
    """Microseconds since 1970 on the clock of the camera, and the minutes that it was ahead of UTC."""
    for time_tag, offset_tag in _TIMES:
        taken = _tried(lambda tag=time_tag: _clock(_text(tags, tag)))  # type: ignore[misc]
        if taken is not None:
            return taken, _offset(_text(tags, offset_tag))
    return None, None


def _clock(text: str) -> int | None:
    """``2024:05:17 10:20:30`` as microseconds since 1970.  Raises ValueError."""
    told = datetime.strptime(text[:19].replace("-", ":"), "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
    return (told - _EPOCH) // timedelta(microseconds=1)


def _offset(text: str) -> int | None:
    found = _OFFSET.fullmatch(text)
    if found is None:
        return None
    minutes = int(found[2]) * 60 + int(found[3])
    return (-minutes if found[1] == "-" else minutes) if minutes <= _MOST_OFFSET else None


def _angle(tags: _Tags, tag: int, ref_tag: int, refs: str, most: int) -> float | None:
    """Degrees from degrees, minutes and seconds; negative for south and west."""
    ref = _text(tags, ref_tag).upper()[:1]
    degrees, minutes, seconds = (float(part) for part in tags[tag])
    angle = degrees + minutes / 60 + seconds / 3600
    if not ref or ref not in refs or not math.isfinite(angle) or not 0 <= angle <= most:
        return None
    return -angle if ref == refs[1] else angle


def _iso(tags: _Tags) -> int | None:
    value = tags.get(ExifTags.Base.ISOSpeedRatings)
    if isinstance(value, tuple):
        value = value[0]
    return int(value) if isinstance(value, int) and 0 < value <= _MOST_ISO else None


def is_possible(details: Details) -> bool:
    """Whether details are such as ``details_of`` gives; a worker that was taken over may send others."""
    taken, offset, iso = details.taken or 0, details.offset or 0, details.iso or 0
    return _FIRST <= taken <= _LAST and abs(offset) <= _MOST_OFFSET and 0 <= iso <= _MOST_ISO and not details.columns
