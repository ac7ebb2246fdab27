"""Which moments of a video are worth a look: ``python -m vsearch.members.scenes FD EVERY``, a process of its own.

FFmpeg's parsers and decoders run here, not in the process that asked; what they find is written a line each, so that
a video that brings them down has shown what it had.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from vsearch.errors import SourceError
from vsearch.members.frames import NEEDS_AV

SECONDS = 600.0
MEMORY = 4 << 30
MOST = 20_000  # moments of one video
# Mean difference of two pictures of 32 x 32 pixels, of 255.  PySceneDetect's detect-content takes the same number.
CHANGE = 27.0
_SIDE = 32
_TOO_MANY = f"it has more than {MOST:,} moments to look at; the first {MOST:,} are kept: raise --frames"
_ANSWERS = 1  # the pipe to the process that asked


def moments(fd: int, every: float) -> Iterator[float]:
    """Seconds at which to look, ascending: the first frame of each ``every`` seconds, and of each new scene.

    Raises SourceError behind those that were found, when the video is damaged or takes too long.
    """
    command = (sys.executable, "-P", "-W", "ignore", "-m", "vsearch.members.scenes", str(fd), repr(every))
    try:
        done = subprocess.run(command, pass_fds=[fd], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)
        raw, why = done.stdout, _ending(done.returncode)
    except subprocess.TimeoutExpired as error:
        raw, why = error.stdout or b"", f"looking through it took longer than {SECONDS:g} s"
    found = set()
    for line in raw.splitlines():
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):  # a decoder that was taken over writes anything
            continue
        if isinstance(told, float) and math.isfinite(told) and told >= 0:
            found.add(round(told, 3))
        elif isinstance(told, str):
            why = why or told
    yield from sorted(found)
    if why is not None:
        raise SourceError(why)


def _ending(code: int) -> str | None:
    if code < 0:
        return f"the decoder crashed (signal {-code})"
    return "the decoder failed, and may have missed moments" if code else None


def main(argv: list[str]) -> None:
    """Write the moments of the video behind a descriptor, then, if that went wrong, why."""
    _confine()
    try:
        import av
    except ModuleNotFoundError:
        _say(NEEDS_AV)
        return
    try:
        with av.open(f"/proc/self/fd/{argv[1]}") as container:
            if not container.streams.video:
                _say("there is no video in it")
                return
            _regular(container, float(argv[2]))
            _new_scenes(container)
    except (av.FFmpegError, ValueError, MemoryError, OverflowError) as error:
        _say(f"damaged, or no video: {' '.join(str(error).split())[:100]}")


def _regular(container: Any, every: float) -> None:
    """The length is what the packets tell: what the header says of it may be wrong."""
    times = [packet.pts * packet.time_base for packet in container.demux(video=0) if packet.pts is not None]
    due, told = -math.inf, 0
    for time in sorted(map(float, times)):
        if time >= due:
            if told == MOST:
                _say(_TOO_MANY)
                return
            _say(max(time, 0.0))
            due, told = (time // every + 1) * every, told + 1


def _new_scenes(container: Any) -> None:
    """Key frames that look unlike the one before: encoders put one where the scene changes."""
    import numpy as np

    stream = container.streams.video[0]
    stream.codec_context.skip_frame = "NONKEY"
    container.seek(0)
    before, told = None, 0
    for frame in container.decode(stream):
        small = frame.to_ndarray(format="rgb24", width=_SIDE, height=_SIDE).astype(np.int16)
        if before is not None and np.abs(small - before).mean() > CHANGE and frame.time is not None:
            if told == MOST:
                _say(_TOO_MANY)
                return
            _say(max(float(frame.time), 0.0))
            told += 1
        before = small


def _say(value: float | str) -> None:
    os.write(_ANSWERS, json.dumps(value).encode() + b"\n")


def _confine() -> None:
    for kind, value in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, int(SECONDS) * 8),
    ):
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main(sys.argv)
