"""What a camera wrote, read back from the file through the decode worker; and what no camera would write."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from vsearch.decode import decode_one
from vsearch.decode.exif import details_of, is_possible
from vsearch.filters.schema import batch
from vsearch.store import Record
from vsearch.store.described import pack_details, unpack_details
from vsearch.types import Details, PixelSpec

SPEC = PixelSpec(16)
EXIF, GPS = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo
TAG, PLACE = ExifTags.Base, ExifTags.GPS


def read(
    path: Path, top: dict[int, Any] | None = None, inner: dict[int, Any] | None = None, gps: Any = None
) -> Details:
    exif = Image.Exif()
    exif.update(top or {})
    exif.get_ifd(EXIF).update(inner or {})
    exif.get_ifd(GPS).update(gps or {})
    Image.new("RGB", (20, 10), "red").save(path, exif=exif)
    return decode_one(str(path).encode(), SPEC).details


def at(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 1_000_000


def test_all_that_a_camera_tells(tmp_path: Path):
    told = read(
        tmp_path / "a.jpg",
        {TAG.Make: "Canon", TAG.Model: "Canon EOS 5D\0", TAG.DateTime: "2025:01:01 00:00:00"},
        {
            TAG.DateTimeOriginal: "2024:05:17 23:20:30",
            TAG.OffsetTimeOriginal: "-03:30",
            TAG.LensModel: "EF50mm f/1.8",
            TAG.ISOSpeedRatings: 400,
        },
        {
            PLACE.GPSLatitudeRef: "S",
            PLACE.GPSLatitude: (33.0, 51.0, 36.0),
            PLACE.GPSLongitudeRef: "E",
            PLACE.GPSLongitude: (151.0, 12.0, 36.0),
        },
    )
    assert told.latitude == pytest.approx(-33.86) and told.longitude == pytest.approx(151.21)
    assert told == Details(
        at(2024, 5, 17, 23, 20, 30), -210, told.latitude, told.longitude, "Canon EOS 5D", "EF50mm f/1.8", 400
    )


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Apple", "iPhone 12", "Apple iPhone 12"),
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("samsung", "", "samsung"),
        ("", "  SM-G \t 970F ", "SM-G 970F"),
        ("x\x1b[31mred", "\x07y", "x [31mred y"),
        ("m" * 5000, "", "m" * 200),
    ],
)
def test_makers_are_told_once_and_in_plain_text(tmp_path: Path, make: str, model: str, camera: str):
    assert read(tmp_path / "a.jpg", {TAG.Make: make, TAG.Model: model}).camera == camera


@pytest.mark.parametrize(
    ("tags", "taken"),
    [
        ({TAG.DateTimeDigitized: "2001:02:03 04:05:06"}, at(2001, 2, 3, 4, 5, 6)),
        (
            {TAG.DateTimeOriginal: "0000:00:00 00:00:00", TAG.DateTimeDigitized: "1999:12:31 23:59:59"},
            at(1999, 12, 31, 23, 59, 59),
        ),
        ({TAG.DateTimeOriginal: "2024-05-17 10:20:30"}, at(2024, 5, 17, 10, 20, 30)),
        ({TAG.DateTimeOriginal: "2024:13:41 25:61:61"}, None),
        ({TAG.DateTimeOriginal: "yesterday"}, None),
        ({TAG.DateTimeOriginal: ""}, None),
    ],
)
def test_times(tmp_path: Path, tags: dict[int, str], taken: int | None):
    assert read(tmp_path / "a.jpg", inner=tags).taken == taken


@pytest.mark.parametrize(
    "gps",
    [
        {PLACE.GPSLatitudeRef: "N", PLACE.GPSLatitude: (IFDRational(0, 0), IFDRational(0, 0), IFDRational(0, 0))},
        {PLACE.GPSLatitudeRef: "N", PLACE.GPSLatitude: (91.0, 0.0, 0.0)},
        {PLACE.GPSLatitudeRef: "Q", PLACE.GPSLatitude: (1.0, 0.0, 0.0)},
        {PLACE.GPSLatitude: (1.0, 0.0, 0.0)},
        {PLACE.GPSLatitudeRef: "N", PLACE.GPSLatitude: (1.0, 0.0)},
    ],
)
def test_places_that_are_none(tmp_path: Path, gps: dict[int, Any]):
    assert read(tmp_path / "a.jpg", gps=gps).latitude is None


def test_a_bad_value_costs_no_other(tmp_path: Path):
    told = read(tmp_path / "a.jpg", {TAG.Make: "Canon"}, {TAG.ISOSpeedRatings: 0, TAG.DateTimeOriginal: "rubbish"})
    assert told == Details(camera="Canon")


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0rubbish", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_rubbish_is_no_details(tmp_path: Path, exif: bytes):
    Image.new("RGB", (20, 10), "red").save(tmp_path / "a.jpg", exif=exif)
    assert decode_one(str(tmp_path / "a.jpg").encode(), SPEC).details == Details()


def test_every_prefix_and_flipped_byte_of_exif_data_leaves_the_picture(tmp_path: Path):
    """Whatever stands there: the picture is decoded, and what is told is of the right kinds."""
    from vsearch.decode.exif import details_of

    exif = Image.Exif()
    exif[TAG.Make] = "Canon"
    exif.get_ifd(EXIF)[TAG.DateTimeOriginal] = "2024:05:17 23:20:30"
    exif.get_ifd(GPS).update({PLACE.GPSLatitudeRef: "N", PLACE.GPSLatitude: (33.0, 51.0, 36.0)})
    whole = exif.tobytes()
    damaged = [whole[:n] for n in range(6, len(whole))]
    damaged += [whole[:n] + bytes([whole[n] ^ 0xFF]) + whole[n + 1 :] for n in range(6, len(whole))]
    for data in damaged:
        image = Image.new("RGB", (4, 4))
        image.info["exif"] = data
        told = details_of(image)
        assert told.camera is None or isinstance(told.camera, str)
        assert told.latitude is None or -90 <= told.latitude <= 90


NUMBERS = st.integers(-(2**70), 2**70) | st.floats() | st.sampled_from([0, 2**31 - 1, 2**31, 2**64])
RATIONALS = st.builds(
    IFDRational, st.integers(0, 2**32 - 1) | st.just(0), st.integers(0, 2**32 - 1) | st.just(0)
) | st.just(IFDRational(1, 0))
TEXTS = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=30) | st.sampled_from(
    [
        "0000:00:00 00:00:00",
        "9999:12:31 23:59:59",
        "10000:01:01 00:00:00",
        "2024:02:30 00:00:00",
        "+99:99",
        "N\0",
        "\ud800",
    ]
)
ANY = NUMBERS | RATIONALS | TEXTS | st.binary(max_size=20) | st.none()
TAGS = st.dictionaries(
    st.sampled_from([*TAG, *PLACE]).map(int), ANY | st.lists(ANY, max_size=4) | st.lists(ANY, max_size=4).map(tuple)
)


class Hostile:
    """A picture whose EXIF data hold values as no file could, beside those that one can."""

    def __init__(self, top, inner, place):
        self._tags = {None: top, EXIF: inner, GPS: place}

    def getexif(self):
        return self

    def keys(self):
        return self._tags[None].keys()

    def __getitem__(self, tag):
        return self._tags[None][tag]

    def get_ifd(self, directory):
        return self._tags[directory]


@settings(max_examples=300, deadline=None)
@given(TAGS, TAGS, TAGS, st.tuples(RATIONALS, RATIONALS, RATIONALS))
def test_whatever_exif_says_can_be_stored_or_is_not_known(top, inner, place, angle):
    place = {**place, PLACE.GPSLatitude: angle, PLACE.GPSLatitudeRef: "N"}
    details = details_of(Hostile(top, inner, place))
    assert is_possible(details) and unpack_details(pack_details(details)) == details
    assert details.latitude is None or 0 <= details.latitude <= 90
    assert batch([(0, Record(b"/a.jpg", bytes(16), 1, 1, 1, 1, 1, 1), details, ())], ()).num_rows == 1
