"""What comes out of the decoder, pixel by pixel, against colours and geometry known beforehand."""

import io
import os
import struct
import warnings

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile
from torchvision import transforms

from vsearch.decode import DecodePool, fit
from vsearch.errors import DecodeError
from vsearch.types import PixelSpec

FLAT = PixelSpec(16, "squash")
SQUARE = PixelSpec(32)


@pytest.fixture(scope="module")
def pools():
    made = {}

    def pool(spec):
        if spec not in made:
            made[spec] = DecodePool(spec, workers=1)
        return made[spec]

    yield pool
    for each in made.values():
        each.close()


@pytest.fixture
def decode(pools, tmp_path):
    def decode(data, spec):
        (tmp_path / "picture").write_bytes(data)
        return pools(spec).one(os.fsencode(tmp_path / "picture"))

    return decode


def saved(image, format="PNG", **settings):
    buffer = io.BytesIO()
    image.save(buffer, format, **settings)
    return buffer.getvalue()


def flat(mode, colour):
    return Image.new(mode, (24, 20), colour)


def deep(value, dtype):
    return Image.fromarray(np.full((20, 24), value, dtype))


def palette(colour, **info):
    image = Image.new("P", (24, 20), 1)
    image.putpalette([0, 0, 0, *colour])
    image.info.update(info)
    return image


EXACT = {
    "rgb png": (saved(flat("RGB", (10, 200, 30))), (10, 200, 30)),
    "grey png": (saved(flat("L", 128)), (128, 128, 128)),
    "black and white png": (saved(flat("1", 1)), (255, 255, 255)),
    "grey with alpha, half over white": (saved(flat("LA", (0, 128))), (127, 127, 127)),
    "rgba, half over white": (saved(flat("RGBA", (255, 0, 0, 128))), (255, 127, 127)),
    "rgba, fully transparent is white": (saved(flat("RGBA", (1, 2, 3, 0))), (255, 255, 255)),
    "palette": (saved(palette((9, 99, 199))), (9, 99, 199)),
    "palette, transparent index is white": (saved(palette((9, 9, 9)), transparency=1), (255, 255, 255)),
    "palette, half transparent entry": (saved(palette((0, 0, 0)), transparency=b"\xff\x80"), (127, 127, 127)),
    "rgb with a transparent colour": (saved(flat("RGB", (5, 6, 7)), transparency=(5, 6, 7)), (255, 255, 255)),
    "16-bit png, half": (saved(deep(128 * 257, np.uint16)), (128, 128, 128)),
    "16-bit png, white is not clipped early": (saved(deep(300, np.uint16)), (1, 1, 1)),
    "16-bit tiff, big endian": (saved(deep(200 * 257, ">u2"), "TIFF"), (200, 200, 200)),
    "32-bit tiff": (saved(deep(64 * 257, np.int32), "TIFF"), (64, 64, 64)),
    "float tiff up to 1": (saved(deep(0.2, np.float32), "TIFF"), (51, 51, 51)),
    "float tiff up to 255": (saved(deep(77.0, np.float32), "TIFF"), (77, 77, 77)),
    "cmyk tiff": (saved(flat("CMYK", (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
    "lzw tiff": (saved(flat("RGB", (1, 2, 3)), "TIFF", compression="tiff_lzw"), (1, 2, 3)),
    "bmp": (saved(flat("RGB", (1, 2, 3)), "BMP"), (1, 2, 3)),
    "dib": (saved(flat("RGB", (1, 2, 3)), "DIB"), (1, 2, 3)),
    "gif": (saved(palette((9, 99, 199)), "GIF"), (9, 99, 199)),
    "gif, transparent index is white": (saved(palette((9, 9, 9)), "GIF", transparency=1), (255, 255, 255)),
    "lossless webp": (saved(flat("RGB", (10, 200, 30)), "WEBP", lossless=True), (10, 200, 30)),
    "webp with alpha": (saved(flat("RGBA", (0, 0, 0, 128)), "WEBP", lossless=True), (127, 127, 127)),
}


@pytest.mark.parametrize("name", EXACT)
def test_lossless_formats_and_modes_give_exact_colours(decode, name):
    data, colour = EXACT[name]
    decoded = decode(data, FLAT)
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.shape == (16, 16, 3)
    assert (decoded.pixels == colour).all()
    assert (decoded.width, decoded.height) == (24, 20)


LOSSY = {
    "jpeg": (saved(flat("RGB", (10, 200, 30)), "JPEG"), (10, 200, 30)),
    "progressive jpeg": (saved(flat("RGB", (10, 200, 30)), "JPEG", progressive=True), (10, 200, 30)),
    "grey jpeg": (saved(flat("L", 90), "JPEG"), (90, 90, 90)),
    "cmyk jpeg, stored inverted as Adobe does": (saved(flat("CMYK", (0, 255, 255, 0)), "JPEG"), (255, 0, 0)),
    "jpeg inside tiff": (saved(flat("RGB", (10, 200, 30)), "TIFF", compression="jpeg"), (10, 200, 30)),
    "webp": (saved(flat("RGB", (10, 200, 30)), "WEBP"), (10, 200, 30)),
    "avif": (saved(flat("RGB", (10, 200, 30)), "AVIF"), (10, 200, 30)),
}


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_formats_give_nearly_the_colours(decode, name):
    data, colour = LOSSY[name]
    pixels = decode(data, FLAT).pixels.astype(int)
    assert np.abs(pixels - colour).max() <= 5


def heic(image, **settings):
    from pillow_heif import from_pillow

    buffer = io.BytesIO()
    from_pillow(image).save(buffer, **settings)
    return buffer.getvalue()


def test_heic(decode):
    decoded = decode(heic(flat("RGB", (10, 200, 30))), FLAT)
    assert np.abs(decoded.pixels.astype(int) - (10, 200, 30)).max() <= 5
    assert (decoded.width, decoded.height, decoded.format) == (24, 20, "HEIF")


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF", "AVIF", "MPO"])
def test_animated_and_many_page_files_show_their_first_frame(decode, format):
    red, blue = flat("RGB", (250, 0, 0)), flat("RGB", (0, 0, 250))
    decoded = decode(saved(red, format, save_all=True, append_images=[blue, blue]), FLAT)
    assert np.abs(decoded.pixels.astype(int) - (250, 0, 0)).max() <= 5


def test_a_float_picture_outside_of_the_usual_range_is_stretched_not_clipped(decode):
    values = np.full((16, 16), -1000.0, np.float32)
    values[8:] = 3000.0
    values[0, 0] = np.nan  # counts as 0, a quarter of the way up
    pixels = decode(saved(Image.fromarray(values), "TIFF"), FLAT).pixels
    assert (pixels[8:] == 255).all()
    assert (pixels[1:8] == 0).all()
    assert tuple(pixels[0, 0]) == (64, 64, 64)


# ---- colour profiles


def profile(space, name=None):
    """A smallest ICC profile with sRGB's primaries and linear light (ICC.1:2001-04, clauses 6.1 to 6.5)."""

    def s15(*values):
        return b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    white, linear = b"XYZ \0\0\0\0" + s15(0.9642, 1.0, 0.8249), b"curv\0\0\0\0\0\0\0\0"
    tags = {b"wtpt": white}
    if name:
        tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + b"\0" * 79
    if space == b"RGB ":
        for name, xyz in zip(
            "rgb", [(0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)], strict=True
        ):
            tags[f"{name}XYZ".encode()] = b"XYZ \0\0\0\0" + s15(*xyz)
            tags[f"{name}TRC".encode()] = linear
    else:
        tags[b"kTRC"] = linear
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"\0" * 4, 0x02100000, b"mntr", space, b"XYZ ")
    head += b"\0" * 12 + b"acsp" + b"\0" * 28 + s15(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + table + body


def srgb(linear):
    """IEC 61966-2-1, the sRGB transfer function."""
    return 255 * (1.055 * (linear / 255) ** (1 / 2.4) - 0.055)


def test_an_icc_profile_is_converted_to_srgb(decode):
    data = saved(flat("RGB", (55, 128, 200)), icc_profile=profile(b"RGB "))
    expected = [srgb(v) for v in (55, 128, 200)]
    assert np.abs(decode(data, FLAT).pixels - expected).max() <= 2


def test_a_grey_icc_profile_is_converted_to_srgb(decode):
    data = saved(flat("L", 55), icc_profile=profile(b"GRAY"))
    assert np.abs(decode(data, FLAT).pixels - srgb(55)).max() <= 2


def test_a_profile_with_alpha_counts_too(decode):
    data = saved(flat("LA", (55, 255)), icc_profile=profile(b"GRAY"))
    assert np.abs(decode(data, FLAT).pixels - srgb(55)).max() <= 2


def test_a_profile_is_srgb_by_what_it_does_and_not_by_its_name(decode):
    colour = (55, 128, 200)
    named = saved(flat("RGB", colour), icc_profile=profile(b"RGB ", name=b"sRGB IEC61966-2.1"))
    assert np.abs(decode(named, FLAT).pixels - [srgb(v) for v in colour]).max() <= 2
    real = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert (decode(saved(flat("RGB", colour), icc_profile=real), FLAT).pixels == colour).all()
    renamed = real.replace("sRGB".encode("utf-16-be"), "nRGB".encode("utf-16-be"))
    assert renamed != real
    assert (decode(saved(flat("RGB", colour), icc_profile=renamed), FLAT).pixels == colour).all()


SPACES = [
    b"Lab ",
    b"XYZ ",
    b"YCbr",
    b"Luv ",
    b"Yxy ",
    b"HSV ",
    b"HLS ",
    b"CMY ",
    b"2CLR",
    b"6CLR",
    b"FCLR",
    b"\0\xff\0\0",
]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("mode, colour", [("RGB", (55, 128, 200)), ("L", 99), ("CMYK", (0, 255, 255, 0))])
def test_a_profile_of_another_space_than_the_picture_s_is_ignored(decode, space, mode, colour):
    data = saved(flat(mode, colour), "TIFF", icc_profile=profile(space))
    assert (decode(data, FLAT).pixels == decode(saved(flat(mode, colour), "TIFF"), FLAT).pixels).all()


@pytest.mark.parametrize("icc", [None, "LAB", "sRGB", profile(b"RGB ")])
def test_lab_is_lab_whatever_profile_it_has(decode, icc):
    """The truth is LittleCMS's way from sRGB to Lab, gone in the other direction."""
    lab, rgb = ImageCms.createProfile("LAB"), flat("RGB", (200, 40, 90))
    picture = ImageCms.profileToProfile(rgb, ImageCms.createProfile("sRGB"), lab, outputMode="LAB")
    if isinstance(icc, str):
        icc = ImageCms.ImageCmsProfile(ImageCms.createProfile(icc)).tobytes()
    pixels = decode(saved(picture, "TIFF", icc_profile=icc), FLAT).pixels.astype(int)
    assert np.abs(pixels - (200, 40, 90)).max() <= 3


@pytest.mark.parametrize("icc", [b"rubbish", profile(b"GRAY"), profile(b"RGB ")[:150], b"\0" * 128])
def test_a_broken_or_unfit_profile_is_ignored(decode, icc):
    data = saved(flat("RGB", (55, 128, 200)), icc_profile=icc)
    assert (decode(data, FLAT).pixels == (55, 128, 200)).all()


# ---- orientation


STORED = {  # how an upright array lies in the file (EXIF 2.32, tag 274)
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def scene():
    """An asymmetrical picture, 97 x 61: every corner has another colour, and the middle slants."""
    y, x = np.mgrid[:61, :97]
    picture = np.stack([x * 2.5, y * 4, 255 - x - y], -1)
    picture[5:30, 10:20] = (255, 255, 0)
    picture[40:50, 60:90] = (0, 0, 90)
    return picture.clip(0, 255).astype(np.uint8)


def turned(orientation, format, **settings):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](scene())))
    return saved(stored, format, exif=exif, **settings)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("settings", [{"format": "PNG"}, {"format": "WEBP", "lossless": True}, {"format": "TIFF"}])
def test_eight_orientations_are_the_upright_picture_exactly(decode, orientation, settings):
    decoded = decode(turned(orientation, **settings), SQUARE)
    assert (decoded.width, decoded.height) == (97, 61)
    assert (decoded.pixels == decode(saved(Image.fromarray(scene())), SQUARE).pixels).all()


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("format, chroma", [("JPEG", 0), ("MPO", 0), ("AVIF", "4:4:4")])
def test_eight_orientations_of_a_lossy_picture_are_nearly_the_upright_one(decode, orientation, format, chroma):
    decoded = decode(turned(orientation, format, quality=95, subsampling=chroma), SQUARE)
    upright = decode(saved(Image.fromarray(scene())), SQUARE)
    difference = np.abs(decoded.pixels.astype(int) - upright.pixels)
    assert (decoded.width, decoded.height) == (97, 61)
    assert difference.mean() < 2
    assert difference.max() < 25


@pytest.mark.parametrize("orientation", STORED)
def test_eight_orientations_of_a_heic(decode, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](scene())))
    decoded = decode(heic(stored, exif=exif.tobytes(), quality=95, chroma=444), SQUARE)
    upright = decode(saved(Image.fromarray(scene())), SQUARE)
    assert (decoded.width, decoded.height) == (97, 61)
    assert np.abs(decoded.pixels.astype(int) - upright.pixels).mean() < 2


@pytest.mark.parametrize("orientation", STORED)
def test_eight_orientations_of_a_jpeg_that_is_decoded_at_a_fraction(decode, orientation):
    big = Image.fromarray(np.ascontiguousarray(STORED[orientation](scene()))).resize(
        (1200, 760) if orientation < 5 else (760, 1200), Image.Resampling.BICUBIC
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(saved(big, "JPEG", quality=95, exif=exif), SQUARE)
    upright = decode(saved(Image.fromarray(scene()).resize((1200, 760), Image.Resampling.BICUBIC)), SQUARE)
    assert (decoded.width, decoded.height) == (1200, 760)
    assert np.abs(decoded.pixels.astype(int) - upright.pixels).mean() < 2


@pytest.mark.parametrize("exif", [b"Exif\0\0rubbish", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM"])
def test_broken_exif_is_no_reason_to_lose_a_picture(decode, exif):
    decoded = decode(saved(flat("RGB", (10, 200, 30)), "JPEG", exif=exif), FLAT)
    assert (decoded.width, decoded.height) == (24, 20)


def test_an_orientation_that_does_not_exist_is_upright(decode):
    exif = Image.Exif()
    exif[0x0112] = 9
    decoded = decode(saved(Image.fromarray(scene()), exif=exif), SQUARE)
    assert (decoded.pixels == decode(saved(Image.fromarray(scene())), SQUARE).pixels).all()


def noise(width, height):
    rng = np.random.default_rng(width * 10_007 + height)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


SIZES = [(33, 33), (32, 32), (640, 427), (427, 640), (101, 57), (20, 31), (500, 40), (3, 90), (1000, 999)]


@pytest.mark.parametrize("width, height", SIZES)
@pytest.mark.parametrize("scale_to", [0, 37])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_shortest_is_what_torchvision_does(width, height, scale_to, interpolation):
    image = noise(width, height)
    mode = transforms.InterpolationMode(interpolation)
    reference = transforms.Compose([transforms.Resize(scale_to or 32, mode), transforms.CenterCrop(32)])
    ours = fit(image, PixelSpec(32, "shortest", interpolation, scale_to))
    assert np.abs(ours.astype(int) - np.asarray(reference(image))).max() <= 1


@pytest.mark.parametrize("width, height", SIZES)
def test_squash_is_what_torchvision_does(width, height):
    image = noise(width, height)
    reference = transforms.Resize((32, 32), transforms.InterpolationMode.BICUBIC)(image)
    assert (fit(image, PixelSpec(32, "squash")) == np.asarray(reference)).all()


@pytest.mark.parametrize(
    "width, height, inside",
    [(64, 32, np.s_[8:24, :]), (32, 64, np.s_[:, 8:24]), (50, 10, np.s_[13:19, :]), (5, 5, np.s_[:, :])],
)
def test_longest_fits_whole_and_fills_the_rest(width, height, inside):
    pixels = fit(Image.new("RGB", (width, height), (200, 10, 10)), PixelSpec(32, "longest", fill=7))
    expected = np.full((32, 32, 3), 7, np.uint8)
    expected[inside] = (200, 10, 10)
    assert (pixels == expected).all()


def test_one_pixel_is_a_picture(decode):
    decoded = decode(saved(Image.new("RGB", (1, 1), (3, 2, 1))), SQUARE)
    assert (decoded.pixels == (3, 2, 1)).all()
    assert (decoded.width, decoded.height) == (1, 1)


@pytest.mark.parametrize("resize", ["shortest", "squash"])
@pytest.mark.parametrize("across", [False, True])
def test_extreme_aspect_ratios(decode, resize, across):
    halves = np.zeros((20_000, 1, 3), np.uint8)
    halves[:10_000, :, 0] = 255
    halves[10_000:, :, 2] = 255
    picture = halves.swapaxes(0, 1) if across else halves
    decoded = decode(saved(Image.fromarray(np.ascontiguousarray(picture))), PixelSpec(32, resize))
    pixels = decoded.pixels.swapaxes(0, 1) if across else decoded.pixels
    if resize == "squash":
        assert (pixels[:15] == (255, 0, 0)).all()
        assert (pixels[17:] == (0, 0, 255)).all()
    else:  # only the two pixels in the middle are in sight
        assert (np.diff(pixels[:, :, 2].astype(int), axis=0) >= 0).all()
        assert pixels[0, 0, 0] > 128 > pixels[31, 0, 0]
    assert (decoded.width, decoded.height) == ((20_000, 1) if across else (1, 20_000))


# ---- JPEG at a fraction of its size


def detailed_jpeg(monkeypatch):
    monkeypatch.setattr(ImageFile, "MAXBLOCK", 2**24)
    rng = np.random.default_rng(5)
    texture = rng.normal(0, 20, (1500, 2000, 3))
    picture = np.asarray(noise(2000, 1500)) + texture
    return saved(Image.fromarray(picture.clip(0, 255).astype(np.uint8)), "JPEG", quality=90)


def test_without_draft_a_jpeg_is_decoded_whole(decode, monkeypatch):
    data = detailed_jpeg(monkeypatch)
    whole = fit(Image.open(io.BytesIO(data)), SQUARE)
    assert (decode(data, PixelSpec(32, draft=False)).pixels == whole).all()


def test_draft_is_used_and_changes_next_to_nothing(decode, monkeypatch):
    data = detailed_jpeg(monkeypatch)
    whole = decode(data, PixelSpec(32, draft=False)).pixels.astype(float)
    drafted = decode(data, PixelSpec(32)).pixels.astype(float)
    assert (drafted != whole).any()
    assert np.abs(drafted - whole).mean() < 1
    assert (drafted * whole).sum() / np.linalg.norm(drafted) / np.linalg.norm(whole) > 0.9999


def test_fit_gives_what_the_file_would_and_leaves_the_picture_alone(decode):
    image = Image.fromarray(scene()).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    before = image.tobytes()
    assert (fit(image, SQUARE) == decode(saved(image), SQUARE).pixels).all()
    assert image.tobytes() == before
    assert image.mode == "RGBA"


def test_fit_of_a_damaged_file_is_a_decode_error():
    image = Image.open(io.BytesIO(saved(noise(200, 200))[:5000]))
    with pytest.raises(DecodeError, match="truncated"):
        fit(image, SQUARE)


def test_the_settings_that_pillow_keeps_per_process_are_left_alone(decode):
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    decode(saved(flat("L", 1)), FLAT)
    fit(flat("L", 1), FLAT)
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)) == before
    assert "HEIF" not in Image.OPEN
