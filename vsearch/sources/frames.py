"""Frames of a video or an animation, as pictures of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator

from vsearch.bounds import size_and_times
from vsearch.errors import SourceError
from vsearch.members import delays
from vsearch.members.address import join, kind_of, moment_name
from vsearch.members.scenes import MOST, moments
from vsearch.sources.probe import caption_beside
from vsearch.types import Failure, Item


def frames(fd: int, path: bytes, every: float) -> Iterator[Item | Failure]:
    """The frames of an open file that are looked at, each with the caption beside the file and the column ``seconds``.

    every: seconds; of a video also the first frame of each scene.  The first frame of an animation is not among them:
    it is what the file itself is indexed as.
    """
    size, mtime_ns, _ = size_and_times(os.fstat(fd))
    try:
        yield from _items(fd, path, moments(fd, every) if kind_of(path) == "video" else _of_animation(fd, every))
    except SourceError as error:
        yield Failure(path, "scan", str(error), size, mtime_ns)


def frame(fd: int, path: bytes, seconds: float) -> Iterator[Item | Failure]:
    """One frame of an open file."""
    return _items(fd, path, iter([seconds]))


def _items(fd: int, path: bytes, times: Iterator[float]) -> Iterator[Item | Failure]:
    """Frames, and the failure of their caption when there is one that cannot be read."""
    caption = caption_beside(path)
    stamps = size_and_times(os.fstat(fd))
    if isinstance(caption, Failure):
        yield caption
    text = caption if isinstance(caption, str) else None
    for seconds in times:
        yield Item(join(path, moment_name(seconds)), *stamps, text, {"seconds": seconds})


def _of_animation(fd: int, every: float) -> Iterator[float]:
    """Multiples of ``every``, in seconds; of those within one frame the first."""
    for number, due in enumerate(delays.moments(fd, every)):
        if number == MOST:
            raise SourceError(f"it has more than {MOST:,} frames; the first {MOST:,} are kept")
        if number > 0 and due >= 0:
            yield due / 1000
