"""TIFFs of all kinds: deep, with many bands, with values that stand for none.  Written by tifffile and by Pillow."""

import io
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from vsearch.decode.job import Limits
from vsearch.decode.picture import decode
from vsearch.decode.wire import Trouble
from vsearch.types import PixelSpec

SPEC = PixelSpec(64, "longest")  # as large as the pictures, so that nothing is scaled away
RAMP = np.tile(np.linspace(0, 1, 64), (48, 1))
GREY = np.rint(RAMP * 255)


def written(array, photometric="minisblack", **settings):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, photometric=photometric, metadata=None, **settings)
    return buffer.getvalue()


def pixels(data):
    picture, square = decode(data, SPEC, Limits())
    assert (picture.width, picture.height, picture.format) == (64, 48, "TIFF")
    return square[8:56].astype(int)


def is_grey(data, expected, within=1):
    """``within`` levels at every pixel but the 0.1 % at both ends, which percentiles may clip."""
    difference = np.abs(pixels(data) - np.broadcast_to(expected, (48, 64))[..., None])
    return difference.max() <= within


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "uint64", "float32", "float64", "float16"])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_a_ramp_over_the_whole_range_of_its_numbers(dtype, photometric):
    top = 1 if dtype.startswith("float") else np.iinfo(dtype).max
    values = (RAMP * top).clip(0, np.nextafter(2.0**64, 0) if dtype == "uint64" else top).astype(dtype)
    assert is_grey(written(values, photometric), GREY if photometric == "minisblack" else 255 - GREY)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_white_is_zero_of_16_bits_is_not_inverted(byteorder, big):
    data = written(np.full((48, 64), 6000, "uint16"), "miniswhite", byteorder=byteorder, bigtiff=big)
    assert is_grey(data, (65535 - 6000) / 65535 * 255)


@pytest.mark.parametrize("bits", [10, 12, 13, 14])
@pytest.mark.parametrize("format", ["TIFF", "PNG"])
def test_few_bits_in_16_are_stretched_over_what_is_there(bits, format):
    values = np.rint(RAMP * (2**bits - 1)).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format)
    square = decode(buffer.getvalue(), SPEC, Limits())[1][8:56, :, 0].astype(int)
    assert np.abs(square - GREY).max() <= 1


@pytest.mark.parametrize("value", [0, 1, 300, 4095, 60000])
def test_a_picture_of_one_value_keeps_it(value):
    assert is_grey(written(np.full((48, 64), value, "uint16")), value / 65535 * 255)


def test_a_few_bright_points_do_not_darken_the_rest():
    values = RAMP.astype(np.float32) * 300
    values[7, 9] = 1e6
    got = pixels(written(values))
    got[7, 9] = GREY[7, 9]
    assert np.abs(got - GREY[..., None]).max() <= 1


NOTHING = [-3.4e38, np.nan, np.inf, -np.inf, 3.4028235e38]


@pytest.mark.parametrize("nothing", NOTHING)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_stands_for_no_value_does_not_take_the_contrast(nothing, dtype):
    values = (RAMP * 300).astype(dtype)
    values[:4] = nothing
    got = pixels(written(values))
    assert (got[:4] == 0).all()
    assert np.abs(got[4:] - GREY[4:, :, None]).max() <= 1


@pytest.mark.parametrize("dtype, nothing", [("float32", -9999.0), ("int16", -32768), ("float64", -9999.0)])
def test_the_value_that_gdal_names_stands_for_none(dtype, nothing):
    values = (RAMP * 3000).astype(dtype)
    values[:20] = nothing
    got = pixels(written(values, extratags=[(42113, 2, 0, str(nothing), True)]))
    assert (got[:20] == 0).all()
    assert np.abs(got[20:] - GREY[20:, :, None]).max() <= 25 if dtype == "int16" else 1


COLOUR = np.stack([RAMP, RAMP[:, ::-1], np.full_like(RAMP, 0.5)], -1)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint32", "uint16"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_deep_colours(dtype, planar):
    top = 1 if dtype.startswith("float") else np.iinfo(dtype).max
    values = (COLOUR * top).astype(dtype)
    data = written(values if planar == "contig" else np.moveaxis(values, -1, 0), "rgb", planarconfig=planar)
    assert np.abs(pixels(data) - np.rint(COLOUR * 255)).max() <= 1


@pytest.mark.parametrize("bands", [3, 5, 13])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_of_many_bands_the_first_three_are_the_colours(bands, dtype):
    values = np.zeros((48, 64, bands), dtype)
    values[..., :3] = np.rint(COLOUR * np.iinfo(dtype).max)
    assert np.abs(pixels(written(values, planarconfig="contig")) - np.rint(COLOUR * 255)).max() <= 1


def test_lab_of_16_bits_is_that_of_8_bits():
    """The truth is LittleCMS's way from sRGB to Lab, gone in the other direction (TIFF 6.0, section 23)."""
    rgb = Image.new("RGB", (64, 48), (200, 40, 90))
    spaces = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"))
    lab = np.asarray(ImageCms.profileToProfile(rgb, *spaces, outputMode="LAB")).astype(np.int32)
    deep = np.stack([lab[..., 0] * 257, (lab[..., 1] - 128) * 256, (lab[..., 2] - 128) * 256], -1)
    data = written(deep.astype(np.uint16), "cielab", planarconfig="contig")
    assert np.abs(pixels(data) - (200, 40, 90)).max() <= 3


def test_an_unusual_tiff_stands_upright_too():
    tags = [(274, 3, 1, 6, True)]
    data = written(np.rot90(RAMP).copy(), extratags=tags)
    turned = np.rot90(np.rot90(np.rint(RAMP * 255)), -1)
    assert np.abs(pixels(data) - turned[..., None]).max() <= 1


UNREAD = {
    "1 band of 64-bit floats": written(RAMP),
    "3 bands of 32-bit floats": written(COLOUR.astype(np.float32), "rgb"),
    "13 bands of 16-bit whole numbers": written(np.zeros((48, 64, 13), np.uint16), planarconfig="contig"),
    "1 band of 64-bit complex numbers": written(RAMP.astype(np.complex64)),
}


@pytest.mark.parametrize("words", UNREAD)
def test_without_the_extra_the_kind_is_named_and_the_file_not_called_damaged(words, monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(Trouble, match=rf"of a kind that is not read \({words}.*vsearch-engine\[tiff\]") as trouble:
        pixels(UNREAD[words])
    assert trouble.value.problem.code == "unsupported"


def test_complex_numbers_are_of_a_kind_that_is_not_read():
    with pytest.raises(Trouble, match="of a kind that is not read"):
        pixels(written(RAMP.astype(np.complex64)))


def test_an_unusual_tiff_keeps_to_the_limits_and_is_not_filled_up():
    data = written(RAMP)
    with pytest.raises(Trouble, match="--max-pixels"):
        decode(data, SPEC, Limits(max_pixels=64 * 47))
    # the pixels come last in what tifffile writes
    for length in (len(data) - 1, len(data) // 2):
        with pytest.raises(Trouble, match="ends before the picture does"):
            pixels(data[:length])


def test_random_damage_to_unusual_tiffs_ends_in_a_picture_or_a_reason():
    rng = np.random.default_rng(5)
    whole = [written(RAMP), written(COLOUR.astype(np.float32), "rgb"), written(np.zeros((48, 64, 13), np.uint16))]
    outcomes = set()
    for n in range(600):
        data = bytearray(whole[n % 3])
        for at in rng.integers(0, 250, rng.integers(1, 4)):
            data[at] ^= 1 << rng.integers(8)
        try:
            outcomes.add(decode(bytes(data), SPEC, Limits(max_pixels=1_000_000))[1].shape)
        except Trouble as trouble:
            outcomes.add(trouble.problem.code)
        except MemoryError:
            outcomes.add("memory")
    assert {(64, 64, 3), "unsupported"} <= outcomes
