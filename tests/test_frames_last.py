"""The last moment of a video or an animation: every moment that is told can be read, and shows its own frame."""

import os
import random
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from vsearch.errors import SourceError
from vsearch.members.frames import read
from vsearch.sources import archive
from vsearch.types import Failure


def times(path, every):
    found = list(archive(path, every=every))
    assert not any(isinstance(one, Failure) for one in found), found
    return [float(os.fsdecode(item.path).rpartition("#t=")[2]) for item in found]


def frame_at(path, seconds):
    """Colour of the first pixel of the frame at a time."""
    import io

    fd = os.open(path, os.O_RDONLY)
    try:
        return np.asarray(Image.open(io.BytesIO(read(fd, seconds))).convert("RGB"))[0, 0].tolist()
    finally:
        os.close(fd)


def animation(path, durations):
    pictures = [Image.new("RGB", (4, 4), (number * 8, 0, 255 - number * 8)) for number in range(len(durations))]
    first, *rest = pictures
    first.save(path, save_all=True, append_images=rest, duration=durations, lossless=True, disposal=1)
    return path


def expected(durations, every):
    """A plain loop over milliseconds: the frames after the first within which a multiple of ``every`` falls."""
    multiples = {round(number * every * 1000) for number in range(int(sum(durations) / every / 1000) + 2)}
    moments, starts = [], 0
    for number, length in enumerate(durations):
        inside = [at for at in range(starts, starts + length) if at in multiples]
        if number and inside:
            moments.append((inside[0] / 1000, number))
        starts += length
    return moments


ROUND = [
    ([100] * 30, 0.5),
    ([100] * 30, 0.1),
    ([100] * 30, 0.3),
    ([70] * 20, 0.7),
    ([110] * 11, 0.33),
    ([30] * 31, 0.9),
]


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_each_moment_of_an_animation_shows_its_frame_and_none_is_behind_the_end(tmp_path, suffix):
    rng = random.Random(4)
    step = 10 if suffix == ".gif" else 1
    cases = ROUND + [
        ([step * rng.randrange(20 // step, 400 // step) for _ in range(n % 7 + 2)], rng.choice((0.1, 0.05, 1 / 3, 0.7)))
        for n in range(15)
    ]
    for number, (durations, every) in enumerate(cases):
        path = animation(tmp_path / f"{number}{suffix}", durations)
        moments = expected(durations, every)
        assert times(path, every) == [at for at, _ in moments], (durations, every)
        for at, frame in moments:
            assert np.abs(np.subtract(frame_at(path, at), (frame * 8, 0, 255 - frame * 8))).max() <= 4
        with pytest.raises(SourceError, match="ends before"):
            frame_at(path, sum(durations) / 1000)


FILMS = [
    ("mpeg4", "mp4", Fraction(30000, 1001), {}),
    ("mpeg4", "avi", Fraction(24000, 1001), {}),
    ("mpeg2video", "mpg", Fraction(25), {"bf": "2"}),
    ("libx264", "mp4", Fraction(24000, 1001), {"bf": "3"}),
    ("libx264", "mkv", Fraction(60000, 1001), {}),
    ("libx264", "mts", Fraction(50), {"bf": "2"}),
    ("libvpx", "webm", Fraction(30), {}),
]


def film(path, codec, rate, options, count=37):
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=rate, options=options)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(count):
            pixels = np.full((48, 64, 3), number * 6, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode())
    return path


@pytest.mark.parametrize("codec, container, rate, options", FILMS, ids=str)
def test_each_moment_of_a_video_can_be_read_up_to_its_last_frame(tmp_path, codec, container, rate, options):
    path = film(tmp_path / f"x.{container}", codec, rate, options)
    moments = times(path, 1 / 1000)  # of every frame
    assert len(moments) >= 36
    colours = [frame_at(path, at)[0] for at in moments]
    # MPEG program streams have a time for every other frame only, and what lies between is a guess
    assert np.diff(colours).min() >= (-12 if container == "mpg" else 0) and colours[-1] > 200
    with pytest.raises(SourceError, match="ends before"):
        frame_at(path, moments[-1] + 1)
