"""Damage beside the pixels: such a file gives the picture that the whole one gives, and no other ever does."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from vsearch.decode.job import Limits
from vsearch.decode.jpeg import ended
from vsearch.decode.picture import decode
from vsearch.decode.wire import Trouble
from vsearch.types import PixelSpec

SPEC = PixelSpec(64, "longest", draft=False)  # as large as the pictures, so that nothing is scaled away
SCENE = Image.fromarray(np.random.default_rng(3).integers(0, 256, (48, 64, 3), dtype=np.uint8))


def saved(format, image=SCENE, **settings):
    buffer = io.BytesIO()
    image.save(buffer, format, **settings)
    return buffer.getvalue()


def chunk(kind, data, crc=None):
    return (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) if crc is None else crc)
    )


def pixels(data):
    return decode(data, SPEC, Limits())[1]


PNG = saved("PNG")
JPEG = saved("JPEG")
TURNED = Image.Exif()
TURNED[0x0112] = 6
CHUNKS = {
    "text, wrong checksum": chunk(b"tEXt", b"a\0b", 1),
    "text, length too large": struct.pack(">I", 5_000_000) + chunk(b"tEXt", b"a\0b")[4:],
    "text, length too small": struct.pack(">I", 1) + chunk(b"tEXt", b"a\0bcdef")[4:],
    "text that unpacks to 100 MB": chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100_000_000), 1)),
    "text, unknown compression": chunk(b"zTXt", b"abc\0\1junk"),
    "profile, wrong checksum": chunk(b"iCCP", b"i\0\0" + zlib.compress(b"x" * 200), 7),
    "profile, empty": chunk(b"iCCP", b""),
    "size in metres, short": chunk(b"pHYs", b"\0\0"),
    "gamma, short": chunk(b"gAMA", b""),
    "primaries, short": chunk(b"cHRM", b"12"),
    "rendering intent, empty": chunk(b"sRGB", b""),
    "transparency, short": chunk(b"tRNS", b"a"),
    "animation, short": chunk(b"acTL", b"a"),
    "frame, short": chunk(b"fcTL", b"a"),
    "a name that is none": chunk(b"t\0Xt", b"a"),
}


@pytest.mark.parametrize("name", CHUNKS)
def test_a_damaged_chunk_beside_the_pixels_of_a_png_costs_nothing(name):
    assert (pixels(PNG[:33] + CHUNKS[name] + PNG[33:]) == pixels(PNG)).all()


def test_the_whole_chunks_of_a_damaged_png_still_count():
    turned = saved("PNG", exif=TURNED)
    assert (pixels(turned[:33] + CHUNKS["text, wrong checksum"] + turned[33:]) == pixels(turned)).all()
    assert (pixels(turned) != pixels(PNG)).any()


@pytest.mark.parametrize(
    "data, reason",
    [
        (PNG[:29] + b"abcd" + PNG[33:], "IHDR chunk has a wrong checksum"),
        (PNG[: len(PNG) // 2], "ends before the picture does"),
        (PNG[:33] + CHUNKS["size in metres, short"] + PNG[33:-3000], "ends before the picture does"),
        (PNG[:33] + PNG[-12:], "damaged|ends"),
    ],
)
def test_a_png_whose_pixels_are_not_there_is_refused_with_the_right_reason(data, reason):
    with pytest.raises(Trouble, match=reason):
        pixels(data)


KINDS = {
    "baseline": JPEG,
    "progressive": saved("JPEG", progressive=True),
    "grey": saved("JPEG", SCENE.convert("L"), quality=30),
    "cmyk": saved("JPEG", SCENE.convert("CMYK")),
    "restarts": saved("JPEG", restart_marker_blocks=1),
    "flat": saved("JPEG", Image.new("RGB", (64, 48), (200, 40, 40))),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_is_read_without_its_end_and_never_without_a_part_of_its_picture(kind):
    """Every cut: what is read has exactly the pixels of the whole file."""
    whole = KINDS[kind]
    truth = np.asarray(Image.open(io.BytesIO(whole)).convert("RGB"))
    for missing in (1, 2):
        assert (pixels(whole[:-missing])[8:56] == truth).all()
    for length in {*range(len(whole) - 40, len(whole) - 2), *range(2, len(whole) - 40, 37)}:
        for data in (whole[:length], *ended(whole[:length] + bytes(40), 10**6)):
            try:
                got = pixels(data)
            except Trouble:
                continue
            assert (got[8:56] == truth).all(), length


HEADS = {
    "JFIF cut short": b"\xff\xe0\0\x08JFIF\0\1",
    "junk between segments": b"\xff\xfe\0\x05abcjunk\0\0",
    "no marker between segments": b"abcdefg",
}


@pytest.mark.parametrize("name", HEADS)
def test_damaged_segments_beside_the_pixels_of_a_jpeg_cost_nothing(name):
    whole = JPEG[:2] + HEADS[name] + JPEG[20:]
    assert (pixels(whole) == pixels(JPEG)).all()
    assert (pixels(whole[:-2]) == pixels(JPEG)).all()  # and both at once


@pytest.mark.parametrize("settings", [{}, {"lossless": True}])
def test_a_webp_is_read_without_a_part_of_its_exif_or_with_a_wrong_length(settings):
    alpha = SCENE.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(SCENE.size))
    for image in (SCENE, alpha):
        whole = saved("WEBP", image, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + b"x" * 51, **settings)
        for damaged in (whole[:-1], whole[:-30], whole[:4] + struct.pack("<I", len(whole) + 92) + whole[8:]):
            assert (pixels(damaged) == pixels(whole)).all()
        with pytest.raises(Trouble):
            pixels(whole[: len(whole) // 2])


def test_a_damaged_file_is_not_decoded_beyond_the_limit_of_pixels():
    with pytest.raises(Trouble):
        decode(JPEG[:-2], SPEC, Limits(max_pixels_jpeg=64 * 47))
