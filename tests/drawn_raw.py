"""A RAW file made by hand: a DNG of one Bayer plane, with or without a preview (Adobe DNG specification 1.4)."""

import io
import struct

import numpy as np
from PIL import Image

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 10: 8}
_FORMS = {1: "B", 3: "H", 4: "I"}


def _ifd(tags: list[tuple[int, int, object]], at: int, more: int = 0) -> bytes:
    """An image file directory at an offset, with the values that do not fit into it behind it."""
    entries, behind = b"", b""
    start = at + 2 + 12 * len(tags) + 4
    for tag, kind, value in sorted(tags):
        if kind == 2:
            raw, count = value, len(value)
        elif kind in (5, 10):
            count = len(value)
            raw = b"".join(struct.pack("<ii", round(v * 10_000), 10_000) for v in value)
        else:
            values = value if isinstance(value, (tuple, list)) else (value,)
            raw, count = struct.pack(f"<{len(values)}{_FORMS[kind]}", *values), len(values)
        if len(raw) > 4:
            entries += struct.pack("<HHII", tag, kind, count, start + len(behind))
            behind += raw + b"\0" * (len(raw) % 2)
        else:
            entries += struct.pack("<HHI", tag, kind, count) + raw.ljust(4, b"\0")
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", more) + behind


def dng(
    colour: tuple[int, int, int],
    width: int = 64,
    height: int = 48,
    preview: Image.Image | None = None,
    exif: Image.Exif | None = None,
) -> bytes:
    """colour: of all of the picture, linear, 0 to 255.  preview: another picture, with these EXIF data."""
    mosaic = np.empty((height, width), np.uint16)
    red, green, blue = (value * 256 for value in colour)
    mosaic[0::2, 0::2], mosaic[0::2, 1::2], mosaic[1::2, 0::2], mosaic[1::2, 1::2] = red, green, green, blue
    plane = mosaic.tobytes()
    jpeg = b""
    if preview is not None:
        out = io.BytesIO()
        preview.save(out, "JPEG", quality=95, **({"exif": exif} if exif else {}))
        jpeg = out.getvalue() + b"\0" * (len(out.getvalue()) % 2)
    at = 8
    data = plane + jpeg
    main = at + len(data)
    sensor = [
        (254, 4, 0),
        (256, 4, width),
        (257, 4, height),
        (258, 3, 16),
        (259, 3, 1),
        (262, 3, 32803),  # colour filter array
        (271, 2, b"Drawn\0"),
        (272, 2, b"By hand\0"),
        (273, 4, at),
        (274, 3, 1),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, len(plane)),
        (284, 3, 1),
        (33421, 3, (2, 2)),
        (33422, 1, (0, 1, 1, 2)),  # red, green, green, blue
        (50706, 1, (1, 4, 0, 0)),
        (50708, 2, b"Drawn by hand\0"),
        (50714, 3, 0),
        (50717, 4, 65535),
        (50721, 10, (3.2405, -1.5371, -0.4985, -0.9693, 1.8760, 0.0416, 0.0556, -0.2040, 1.0572)),  # XYZ to sRGB
        (50728, 5, (1.0, 1.0, 1.0)),
        (50778, 3, 21),
    ]
    if preview is None:
        return b"II*\0" + struct.pack("<I", main) + data + _ifd(sensor, main)
    small = [
        (254, 4, 1),
        (256, 4, preview.width),
        (257, 4, preview.height),
        (258, 3, (8, 8, 8)),
        (259, 3, 7),
        (262, 3, 6),
        (273, 4, at + len(plane)),
        (277, 3, 3),
        (278, 4, preview.height),
        (279, 4, len(jpeg)),
        (284, 3, 1),
    ]
    first = _ifd([*sensor, (330, 4, 0)], main)
    second = main + len(first)
    first = _ifd([*sensor, (330, 4, second)], main)
    return b"II*\0" + struct.pack("<I", main) + data + first + _ifd(small, second)
