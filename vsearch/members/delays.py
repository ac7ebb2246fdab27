"""When each frame of a GIF or WebP animation is shown, from its blocks alone: nothing is decoded.

Times are whole milliseconds, as the files and the addresses of frames tell them, so that no sum is rounded.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from itertools import accumulate

_MOST_BLOCKS = 1_000_000
_LEAST = 11  # ms: browsers show a frame of an animation that asks for less for
_USUAL = 100  # ms


def moments(fd: int, every: float) -> Iterator[int]:
    """Multiples of ``every`` (seconds), in milliseconds, frame by frame: of those within one frame the first.

    -1 for a frame within which there is none.
    """
    step, starts = max(every * 1000, 1.0), 0
    for ends in accumulate(delays(fd)):
        number = math.ceil(starts / step)
        if number and round((number - 1) * step) >= starts:  # rounding has put it into this frame
            number -= 1
        due = round(number * step)
        yield due if due < ends else -1
        starts = ends


def number_at(fd: int, milliseconds: int) -> int | None:
    """Number of the frame, from 0, that is shown at a time; None when the animation ends before it."""
    return next((number for number, ends in enumerate(accumulate(delays(fd))) if ends > milliseconds), None)


def delays(fd: int) -> Iterator[int]:
    """Milliseconds that browsers show each frame; none for what is no animation.

    A file that is cut short gives those that are whole.

    GIF89a, section 23; WebP container specification, ``ANMF``.
    """
    head = os.pread(fd, 13, 0)
    if head[:4] == b"GIF8" and len(head) == 13:
        yield from _of_gif(fd, 13 + _colours(head[10]))
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        yield from _of_webp(fd)


def _shown(milliseconds: int) -> int:
    return milliseconds if milliseconds >= _LEAST else _USUAL


def _colours(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _of_gif(fd: int, at: int) -> Iterator[int]:
    hundredths = 0
    for _ in range(_MOST_BLOCKS):
        kind = os.pread(fd, 10, at)
        if kind[:2] == b"\x21\xf9" and len(kind) >= 6:  # graphic control extension
            hundredths = int.from_bytes(kind[4:6], "little")
        if kind[:1] == b"\x21":
            at = _behind_blocks(fd, at + 2)
        elif kind[:1] == b"\x2c" and len(kind) == 10:  # image
            at = _behind_blocks(fd, at + 11 + _colours(kind[9]))
            if at < 0:
                return
            yield _shown(10 * hundredths)
            hundredths = 0
        else:
            at = -1  # the trailer, the end of the file, or damage
        if at < 0:
            return


def _behind_blocks(fd: int, at: int) -> int:
    for _ in range(_MOST_BLOCKS):
        size = os.pread(fd, 1, at)
        if not size:
            break
        at += 1 + size[0]
        if not size[0]:
            return at
    return -1


def _of_webp(fd: int) -> Iterator[int]:
    at = 12
    for _ in range(_MOST_BLOCKS):
        head = os.pread(fd, 8, at)
        if len(head) < 8:
            return
        if head[:4] == b"ANMF":
            yield _shown(int.from_bytes(os.pread(fd, 3, at + 8 + 12), "little"))
        size = int.from_bytes(head[4:], "little")
        at += 8 + size + size % 2
