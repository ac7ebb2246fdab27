"""Frames of a video or an animation, as pictures of their own."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from itertools import accumulate, islice

from vsearch.errors import SourceError
from vsearch.members.address import join, kind_of, moment_name
from vsearch.members.delays import delays
from vsearch.members.scenes import MOST, moments
from vsearch.sources.look import caption_name, read_caption
from vsearch.types import Failure, Item


def frames(fd: int, path: bytes, every: float) -> Iterator[Item | Failure]:
    """The frames of an open file that are looked at, each with the caption beside the file and the column ``seconds``.

    every: seconds; of a video also the first frame of each scene.  The first frame of an animation is not among them:
    it is what the file itself is indexed as.
    """
    status = os.fstat(fd)
    try:
        for seconds in moments(fd, every) if kind_of(path) == "video" else _of_animation(fd, every):
            yield frame(fd, path, seconds)
    except SourceError as error:
        yield Failure(path, "scan", str(error), status.st_size, status.st_mtime_ns)


def frame(fd: int, path: bytes, seconds: float) -> Item:
    """One frame of an open file."""
    status = os.fstat(fd)
    folder, name = os.path.split(path)
    caption = read_caption(os.path.join(folder, caption_name(name)))
    times = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return Item(join(path, moment_name(seconds)), *times, caption, {"seconds": seconds})


def _of_animation(fd: int, every: float) -> Iterator[float]:
    """Multiples of ``every``, in seconds; of those within one frame the first."""
    starts = 0.0
    for number, ends in enumerate(islice(accumulate(delays(fd)), MOST)):
        due = math.ceil(starts / every) * every
        if number > 0 and due < ends:
            yield round(due, 3)
        starts = ends
