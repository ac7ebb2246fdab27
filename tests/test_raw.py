"""RAW files: the preview where there is one, else what the sensor saw."""

import io
import os
import struct
import sys

import numpy as np
import pytest
from drawn_raw import dng
from PIL import Image
from serving import serving

import vsearch
from vsearch.decode.thumbnails import thumbnails
from vsearch.errors import SourceError
from vsearch.sources import folder

SENSOR, PREVIEW = (200, 50, 20), (10, 20, 200)


def colour(path) -> np.ndarray:
    (image,) = thumbnails([os.fsencode(path)], 160)
    return np.asarray(image).mean((0, 1))


def test_the_preview_is_shown_where_it_is_large_enough(tmp_path):
    (tmp_path / "a.dng").write_bytes(dng(SENSOR, preview=Image.new("RGB", (640, 480), PREVIEW)))
    assert np.abs(colour(tmp_path / "a.dng") - PREVIEW).max() < 3
    for preview in (None, Image.new("RGB", (160, 120), PREVIEW)):
        (tmp_path / "b.dng").write_bytes(dng(SENSOR, preview=preview))
        red, green, blue = colour(tmp_path / "b.dng")
        assert red > 200 and red > 2 * green - 20 and green > blue, "the sensor's red"


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0))])
@pytest.mark.parametrize("own", [False, True])
def test_a_preview_stands_upright_whether_it_says_so_itself_or_not(tmp_path, orientation, corner, own):
    preview = Image.new("RGB", (640, 480), "white")
    preview.paste((0, 0, 0), (0, 0, 100, 100))  # its first corner is black
    exif = Image.Exif()
    exif[0x0112] = orientation
    raw = bytearray(dng(SENSOR, preview=preview, exif=exif if own else None))
    at = raw.index(struct.pack("<HHI", 274, 3, 1)) + 8
    raw[at : at + 2] = struct.pack("<H", orientation)
    (tmp_path / "a.dng").write_bytes(raw)
    (image,) = thumbnails([os.fsencode(tmp_path / "a.dng")], 160)
    assert image.size == ((160, 120) if orientation in (1, 3) else (120, 160))
    assert np.asarray(image)[corner].max() < 40


def test_raw_files_of_a_folder_are_indexed_when_asked(tmp_path):
    (tmp_path / "a.DNG").write_bytes(dng(SENSOR, preview=Image.new("RGB", (640, 480), PREVIEW)))
    assert list(folder(tmp_path)) == []
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        report = index.add(folder(tmp_path, raw=True))
        assert (report.added, report.failures) == (1, ())
        assert index.add(folder(tmp_path, raw=True)).unchanged == 1
    with serving(tmp_path / "x.vsearch") as client:
        assert Image.open(io.BytesIO(client.get("/image/0").body)).size == (640, 480)
        assert client.get("/thumbs/0?size=160").status == 200


def test_raw_files_that_are_damaged_or_none(tmp_path):
    whole = dng(SENSOR)
    for name, data in (("cut.dng", whole[:200]), ("empty.nef", b""), ("text.cr2", b"hello" * 100)):
        (tmp_path / name).write_bytes(data)
    for at in range(0, len(whole), 997):
        raw = bytearray(whole)
        raw[at] ^= 0xFF
        (tmp_path / f"bit{at}.dng").write_bytes(raw)
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        report = index.add(folder(tmp_path, raw=True))
        failed = {os.path.basename(failure.path) for failure in report.failures}
        assert failed >= {b"cut.dng", b"empty.nef", b"text.cr2"}
        assert report.added + report.failed == 3 + len(range(0, len(whole), 997))


def test_what_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    monkeypatch.setattr("vsearch.members.raw.find_spec", lambda name: None)
    with pytest.raises(SourceError, match=r"vsearch-engine\[raw\]"):
        folder(tmp_path, raw=True)
