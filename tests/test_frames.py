"""Frames of videos and animations, against films whose every frame is known."""

import json
import os
import struct
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import vsearch
from vsearch.decode.thumbnails import thumbnails
from vsearch.members import scenes
from vsearch.sources import archive, files, folder, source_for
from vsearch.types import Failure

RATE = 10  # frames a second
# Three scenes: red up to 2.3 s, green up to 4.0 s, then blue; within a scene the colour gets slowly lighter.
SCENES = [(23, (200, 20, 20)), (17, (20, 200, 20)), (25, (20, 20, 200))]


def colour_at(frame: int) -> tuple[int, int, int]:
    for length, colour in SCENES:
        if frame < length:
            return tuple(min(255, c + frame) for c in colour)
        frame -= length
    raise IndexError


def film(path: Path, codec: str = "mpeg4", **stream) -> Path:
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=RATE)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.gop_size = 12
        video.codec_context.time_base = Fraction(1, RATE)
        for number in range(sum(length for length, _ in SCENES)):
            pixels = np.full((48, 64, 3), colour_at(number), np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode())
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "clip.mp4")


def times(found: list) -> list[float]:
    assert not any(isinstance(one, Failure) for one in found), found
    return [float(os.fsdecode(item.path).rpartition("#t=")[2]) for item in found]


def shown(paths: list[bytes]) -> np.ndarray:
    """The mean colour of each picture: (n, 3)."""
    return np.array([np.asarray(image).mean((0, 1)) for image in thumbnails(paths, 32)])


def test_a_video_is_looked_at_every_so_often_and_where_its_scenes_begin(clip):
    found = times(list(archive(clip, every=3)))
    assert set(found) >= {0.0, 3.0, 6.0} and len(found) <= 5
    cuts = sorted(set(found) - {0.0, 3.0, 6.0})
    # A new scene is told by the first key frame that shows it: at most a group of 12 pictures later.
    assert len(cuts) == 2 and 2.3 <= cuts[0] <= 3.5 and 4.0 <= cuts[1] <= 5.2


def test_a_frame_is_the_one_that_is_shown_at_its_time(clip):
    asked = [0.0, 0.1, 2.2, 2.3, 3.9, 4.0, 6.4]
    found = shown([os.fsencode(clip) + b"#t=%g" % t for t in asked])
    right = np.array([colour_at(round(t * RATE)) for t in asked])
    assert np.abs(found - right).max() < 8, "MPEG-4 is not exact"
    assert list(thumbnails([os.fsencode(clip) + b"#t=99", os.fsencode(clip) + b"#t=x"], 32)) == [None, None]


def test_frames_are_indexed_found_and_told_apart(clip, tmp_path):
    (clip.parent / "clip.txt").write_text("a film of three colours")
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        report = index.add(archive(clip, every=1))
        assert report.failures == () and report.added >= 7
        assert index.search("blue", k=1)[0].path.name.rpartition("t=")[2] >= "4"
        hits = index.search("green", k=20, where="seconds >= 3 and seconds < 3.5")
        assert [hit.path.name for hit in hits] == ["clip.mp4#t=3"] and hits[0].caption == "a film of three colours"
        again = index.add(archive(clip, every=1))
        assert (again.added, again.unchanged, again.removed) == (0, report.added, 0)
        fewer = index.add(archive(clip, every=3))
        assert fewer.added == 0 and fewer.removed > 0, "what is no longer looked at is gone"


def test_folders_show_frames_only_when_asked(clip, tmp_path):
    film(tmp_path / "a.mkv")
    animation(tmp_path / "b.gif")
    assert len(list(folder(tmp_path))) == 1
    found = [os.fsdecode(item.path).rpartition("/")[2] for item in folder(tmp_path, every=3)]
    assert found[0] == "b.gif" and {"a.mkv#t=0", "a.mkv#t=3", "b.gif#t=3"} <= set(found)
    assert len(list(source_for(clip))) >= 1, "a video that is named is looked at"


def test_a_film_taken_upright_stands_upright(tmp_path):
    path = film(tmp_path / "turned.mp4")
    raw = bytearray(path.read_bytes())
    at = raw.index(b"tkhd") + 4 + 40  # version 0: the display matrix, 16.16 and 2.30 fixed point
    raw[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)  # 90 degrees clockwise
    path.write_bytes(raw)
    (image,) = thumbnails([os.fsencode(path) + b"#t=1"], 64)
    assert image.size == (48, 64)


# ---------------------------------------------------------------- animations

FRAMES = [(1000, "red"), (2500, "lime"), (0, "blue"), (3000, "white")]  # milliseconds; 0 is shown as 100


def animation(path: Path) -> Path:
    pictures = [Image.new("RGB", (40, 30), colour) for _, colour in FRAMES]
    durations = [duration for duration, _ in FRAMES]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0, lossless=True)
    return path


@pytest.mark.parametrize("name", ["x.gif", "x.webp"])
def test_frames_of_an_animation(tmp_path, name):
    path = animation(tmp_path / name)
    found = [item for item in source_for(path, every=0.5) if isinstance(item, vsearch.Item)]
    assert found[0].path == os.fsencode(path), "the first frame is the file itself"
    # red up to 1.0 s, green up to 3.5, blue up to 3.6, white up to 6.6
    assert times(found[1:]) == [1.0, 3.5, 4.0]
    colours = shown([item.path for item in found]).round().tolist()
    assert colours == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]
    assert [os.fsdecode(item.path) for item in source_for(path)] == [str(path)]


def test_pictures_that_stand_still_have_no_other_frames(tmp_path):
    for name in ("x.gif", "x.webp"):
        Image.new("RGB", (40, 30), "red").save(tmp_path / name)
        assert list(archive(tmp_path / name, every=1)) == []


# ---------------------------------------------------------------- hostile


def reasons(path: Path) -> list[str]:
    return [one.reason for one in archive(path, every=1) if isinstance(one, Failure)]


@pytest.mark.parametrize("seconds", [0, 1, 36_000_000])
def test_a_video_that_lies_about_its_length(clip, tmp_path, seconds):
    raw = bytearray(clip.read_bytes())
    for box in (b"mvhd", b"mdhd"):
        at = raw.index(box) + 4 + 12
        (scale,) = struct.unpack(">I", raw[at : at + 4])
        raw[at + 4 : at + 8] = struct.pack(">I", min(seconds * scale, 2**32 - 1))
    path = tmp_path / "liar.mp4"
    path.write_bytes(raw)
    assert times(list(archive(path, every=3))) == times(list(archive(clip, every=3)))


def test_videos_that_are_cut_short_or_none(clip, tmp_path):
    whole = clip.read_bytes()
    for kept in (len(whole) // 2, 30, 0):
        (tmp_path / "x.mp4").write_bytes(whole[:kept])
        assert len(reasons(tmp_path / "x.mp4")) == 1
    (tmp_path / "x.mkv").write_bytes(film(tmp_path / "whole.mkv").read_bytes()[:-800])
    found = [one for one in archive(tmp_path / "x.mkv", every=1) if not isinstance(one, Failure)]
    assert times(found)[:2] == [0.0, 1.0], "what is there is shown"
    (tmp_path / "x.avi").write_bytes(os.urandom(5000))
    assert len(reasons(tmp_path / "x.avi")) == 1
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        report = index.add(folder(tmp_path, every=3))
        assert report.added > 3 and {os.fsdecode(f.path).rpartition("/")[2] for f in report.failures} >= {"x.mp4"}


def test_a_video_that_takes_too_long_shows_what_was_found(clip, monkeypatch):
    monkeypatch.setattr(scenes, "SECONDS", 0.001)
    (why,) = reasons(clip)
    assert "took longer" in why


@pytest.mark.parametrize("suffix", ["gif", "webp", "mp4"])
def test_moving_pictures_with_bytes_changed_never_crash(clip, tmp_path, suffix):
    whole = clip.read_bytes() if suffix == "mp4" else animation(tmp_path / f"whole.{suffix}").read_bytes()
    path = tmp_path / f"x.{suffix}"
    step = 4000 if suffix == "mp4" else 7
    paths = []
    for at in range(0, len(whole), step):
        raw = bytearray(whole)
        raw[at] ^= 0xFF
        path.write_bytes(raw)
        assert all(one.path.startswith(os.fsencode(path)) for one in archive(path, every=0.5))
    assert len(list(thumbnails([os.fsencode(path) + b"#t=1"] * 2, 16))) == 2 and not paths


def test_a_frame_that_is_named_in_a_list(clip):
    (item, failure) = files([f"{clip}#t=1.5", f"{clip}#t=now"])
    assert item.columns == {"seconds": 1.5} and isinstance(failure, Failure)


def test_more_frames_than_are_looked_at_are_told(clip, tmp_path, monkeypatch):
    path = tmp_path / "many.gif"
    pictures = [Image.new("L", (4, 4), 10 * number) for number in range(12)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=1000)
    assert reasons(path) == []
    monkeypatch.setattr("vsearch.sources.frames.MOST", 5)
    found = list(archive(path, every=1))
    assert [os.path.basename(one.path) for one in found[:-1]] == [b"many.gif#t=%d" % n for n in (1, 2, 3, 4)]
    assert "more than 5 frames; the first 5 are kept" in found[-1].reason


def test_a_search_for_scenes_that_fails_or_babbles_is_told(clip, tmp_path, monkeypatch):
    for script, reason in (
        ("import sys; print(1.5); print('[' * 100000); print('9' * 9000); sys.exit(3)", "may have missed moments"),
        ("import os; print(1.5, flush=True); os.abort()", "crashed (signal 6)"),
    ):
        fake = tmp_path / "python"
        fake.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{script}"\n')
        fake.chmod(0o700)
        with monkeypatch.context() as patch:
            patch.setattr(scenes.sys, "executable", str(fake))
            found = list(archive(clip, every=1))
        assert [os.path.basename(one.path) for one in found[:-1]] == [b"clip.mp4#t=1.5"]
        assert reason in found[-1].reason


def test_a_video_of_too_many_moments_says_so(clip, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(scenes, "MOST", 3)
    monkeypatch.setattr(scenes, "_confine", lambda: None)
    with open(clip, "rb") as file:
        scenes.main(["", str(file.fileno()), "0.5"])
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert lines[:3] == [0.0, 0.5, 1.0] and "moments to look at" in lines[3]
