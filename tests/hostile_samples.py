"""The valid pictures, the files that are none, and the bombs, of which the hostile corpus is made."""

import io
import os
import pickle
import struct
import zlib
from dataclasses import dataclass
from functools import cache

import numpy as np
import pillow_heif
import tifffile
from PIL import Image, ImageCms, PngImagePlugin


@dataclass(frozen=True)
class Sample:
    """A valid file.  cuttable: losing its second half certainly loses pixels of the first frame."""

    suffix: bytes
    data: bytes
    width: int
    height: int
    cuttable: bool = True


# ---- valid pictures


def _noise(seed: int, width: int = 40, height: int = 30, channels: int = 3) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def _saved(image: Image.Image, format: str, **settings: object) -> bytes:
    buffer = io.BytesIO()
    if format == "HEIF":
        pillow_heif.from_pillow(image).save(buffer, **settings)
    else:
        image.save(buffer, format, **settings)
    return buffer.getvalue()


def _plain_samples(seed: int) -> list[Sample]:
    rgb = Image.fromarray(_noise(seed))
    rgba = Image.fromarray(_noise(seed + 1, channels=4))
    grey = rgb.convert("L")
    text = PngImagePlugin.PngInfo()
    for n in range(300):
        text.add_text(f"key{n}", "value" * 3)
    exif = Image.Exif()
    exif[0x010E] = "<img src=x onerror=alert(1)>"
    kinds: list[tuple[bytes, Image.Image, str, dict]] = [
        (b".jpg", rgb, "JPEG", {}),
        (b".jpeg", rgb, "JPEG", {"progressive": True}),
        (b".jpe", grey, "JPEG", {"exif": exif}),
        (b".jfif", rgb.convert("CMYK"), "JPEG", {}),
        (b".jpg", rgb, "JPEG", {"icc_profile": b"not a profile" * 20}),
        (b".jpg", rgb, "JPEG", {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()}),
        (b".tif", Image.fromarray(_noise(seed), "LAB"), "TIFF", {"icc_profile": b"\0" * 16 + b"XYZ " + b"\0" * 200}),
        (b".png", rgb, "PNG", {}),
        (b".png", rgba, "PNG", {}),
        (b".png", grey, "PNG", {"transparency": 0}),
        (b".png", grey.convert("1"), "PNG", {}),
        (b".png", rgba.convert("LA"), "PNG", {}),
        (b".png", rgb.quantize(16), "PNG", {"transparency": 3}),
        (b".png", Image.fromarray(_noise(seed, channels=1).astype(np.uint16) * 257), "PNG", {}),
        (b".webp", rgb, "WEBP", {}),
        (b".webp", rgba, "WEBP", {"lossless": True}),
        (b".gif", rgb.quantize(64), "GIF", {}),
        (b".bmp", rgb, "BMP", {}),
        (b".dib", rgb.quantize(16), "BMP", {}),
        (b".tif", rgb, "TIFF", {}),
        (b".tiff", rgb, "TIFF", {"compression": "tiff_lzw"}),
        (b".tiff", rgb, "TIFF", {"compression": "jpeg"}),
        (b".tiff", rgb.convert("CMYK"), "TIFF", {"compression": "tiff_adobe_deflate"}),
        (b".tif", rgb, "TIFF", {"big_tiff": True}),
        (b".tif", Image.fromarray(_noise(seed, channels=1).astype(np.float32)), "TIFF", {}),
        (b".avif", rgb, "AVIF", {}),
        (b".avif", rgba, "AVIF", {}),
        (b".heic", rgb, "HEIF", {}),
        (b".heif", rgba, "HEIF", {}),
    ]
    samples = [Sample(suffix, _saved(im, fmt, **opts), *im.size) for suffix, im, fmt, opts in kinds]
    return [*samples, Sample(b".png", _saved(rgb, "PNG", pnginfo=text), *rgb.size, cuttable=False)]


def _many_frame_samples(seed: int) -> list[Sample]:
    first, *rest = (Image.fromarray(_noise(seed + n)) for n in range(3))
    many = {"save_all": True, "append_images": rest}
    formats = {b".gif": "GIF", b".apng": "PNG", b".webp": "WEBP", b".tif": "TIFF", b".avif": "AVIF", b".mpo": "MPO"}
    samples = [Sample(s, _saved(first, fmt, **many), 40, 30, cuttable=False) for s, fmt in formats.items()]
    gif = _saved(Image.fromarray(_noise(seed)).quantize(8), "GIF")
    at = gif.index(b",\0\0\0\0")
    frames = gif[:at] + gif[at:-1] * 5_000 + b";"
    return [*samples, Sample(b".gif", frames, 40, 30, cuttable=False)]


def _turned_samples(seed: int) -> list[Sample]:
    """Pictures that are 40 x 30 when upright, stored in each of the eight orientations."""
    samples = []
    for orientation in range(1, 9):
        stored = Image.fromarray(_noise(seed, *((40, 30) if orientation < 5 else (30, 40))))
        exif = Image.Exif()
        exif[0x0112] = orientation
        for suffix, fmt in (
            (b".jpg", "JPEG"),
            (b".png", "PNG"),
            (b".webp", "WEBP"),
            (b".tif", "TIFF"),
            (b".heic", "HEIF"),
        ):
            opts = {"exif": exif.tobytes()} if fmt == "HEIF" else {"exif": exif}
            samples.append(Sample(suffix, _saved(stored, fmt, **opts), 40, 30, cuttable=False))
    return samples


def _odd_sized_samples() -> list[Sample]:
    samples = []
    for width, height in ((1, 1), (1, 20_000), (20_000, 1), (2, 65_000)):
        image = Image.new("RGB", (width, height), (200, 100, 50))
        for suffix, fmt in ((b".png", "PNG"), (b".jpg", "JPEG"), (b".gif", "GIF"), (b".bmp", "BMP"), (b".tif", "TIFF")):
            samples.append(Sample(suffix, _saved(image, fmt), width, height, cuttable=False))
    return samples


def _deep_samples(seed: int) -> list[Sample]:
    """TIFFs of kinds that Pillow does not read, and grey of more than 8 bits with values that stand for none."""
    deep = _noise(seed).astype(np.float64)
    gaps = np.where(deep < 9, -3.4e38, deep)[..., 0].astype(np.float32)
    kinds = (deep, deep.astype(np.float32), _noise(seed, channels=13), _noise(seed).astype(np.uint16), gaps)
    samples = []
    for array, photometric in zip(kinds, ("rgb", "rgb", "minisblack", "cielab", "miniswhite"), strict=True):
        buffer = io.BytesIO()
        layout = {"planarconfig": "contig"} if array.ndim == 3 else {}
        tifffile.imwrite(buffer, array, photometric=photometric, metadata=None, **layout)
        samples.append(Sample(b".tif", buffer.getvalue(), 40, 30))
    return samples


def _damaged_beside_samples(seed: int) -> list[Sample]:
    """Whole pictures in files that are damaged elsewhere."""
    rgb = Image.fromarray(_noise(seed))
    png, jpeg, slow = _saved(rgb, "PNG"), _saved(rgb, "JPEG"), _saved(rgb, "JPEG", progressive=True)
    webp = _saved(rgb, "WEBP", exif=Image.Exif().tobytes() + b"x" * 51)
    chunks = [_chunk(b"tEXt", b"a\0b")[:-1] + b"?", _chunk(b"iCCP", b""), _chunk(b"pHYs", b"\0"), _chunk(b"acTL", b"")]
    files = [(b".png", png[:33] + chunk + png[33:]) for chunk in chunks]
    files += [(b".jpg", jpeg[:-2]), (b".jpg", slow[:-1]), (b".jpg", jpeg[:2] + b"\xff\xe0\0\4JF junk" + jpeg[20:])]
    return [Sample(suffix, data, 40, 30, cuttable=False) for suffix, data in [*files, (b".webp", webp[:-20])]]


@cache
def samples(seed: int) -> tuple[Sample, ...]:
    """Every valid picture that the corpus is made of."""
    kinds = (_plain_samples(seed), _many_frame_samples(seed), _turned_samples(seed), _odd_sized_samples())
    return (*(sample for kind in kinds for sample in kind), *_deep_samples(seed), *_damaged_beside_samples(seed))


# ---- files that are no pictures, and bombs


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, *chunks: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + b"".join(chunks) + _chunk(b"IEND", b"")


@cache
def no_pictures() -> tuple[bytes, ...]:
    jpeg = bytearray(_saved(Image.new("RGB", (8, 8)), "JPEG"))
    size = jpeg.index(b"\xff\xc0") + 5
    jpeg[size : size + 4] = b"\xff\xff\xff\xff"  # says 65,535 x 65,535
    zeros = zlib.compress(bytes(1_000_000), 9)
    return (
        b"",
        b"\0" * 3000,
        b"<!doctype html><title>404 Not Found</title>",
        b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
        b"PK\x03\x04\x14\0\0\0\x08\0" + zeros[:200],
        b"\x7fELF\2\1\1" + b"\0" * 100,
        b"MZ" + b"\x90" * 100,
        b"8BPS\0\1" + b"\0" * 40,
        b"SIMPLE  =                    T",
        b"P6 2 2 255\n" + b"\1" * 12,
        b"\0\0\1\0\1\0" + b"\x10" * 30,
        b"\0\0\0\x0cjP  \r\n\x87\n",
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"\0\0\0\x18ftypmp42\0\0\0\0",
        pickle.dumps({"pickled": os.getcwd}),
        b"just words\n",
        bytes(jpeg),
        _png(65_535, 65_535, _chunk(b"IDAT", b"")),
        _png(2**31 - 1, 2**31 - 1, _chunk(b"IDAT", b"")),
        _png(10, 10, _chunk(b"IDAT", b"not zlib")),
        b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\0\0\0,",
    )


@cache
def bombs() -> tuple[tuple[bytes, bytes], ...]:
    """(suffix, bytes) of files that cost far more than their size; whether they fail depends on the limits."""
    zeros = zlib.compress(bytes(20_000_000), 9)
    pixels = _chunk(b"IDAT", zlib.compress(b"\0" * 31 * 10))
    scans = _saved(Image.new("L", (2000, 2000), 99), "JPEG", progressive=True)
    last = scans.rindex(b"\xff\xda")
    return (
        (b".jpg", scans[:last] + scans[last:-2] * 3000 + b"\xff\xd9"),
        (b".jpg", scans[:last] + scans[last:-2] * 200),  # without an end: decoded more than once
        (b".png", _png(10, 10, _chunk(b"tEXt", b"")[:-1] + b"!" + b"\0\0\x10\0IDAT" * 200_000)),
        (b".png", _png(10, 10, _chunk(b"zTXt", b"key\0\0" + zeros), pixels)),
        (b".png", _png(10, 10, _chunk(b"iCCP", b"name\0\0" + zeros), pixels)),
        (b".png", _saved(Image.new("L", (6000, 6000)), "PNG")),
        (b".webp", _saved(Image.new("RGB", (3500, 3500)), "WEBP", quality=1, method=0)),
        (b".gif", _saved(Image.new("L", (6000, 6000)), "GIF")),
        (b".tif", _saved(Image.new("L", (6000, 6000)), "TIFF", compression="tiff_lzw")),
        (b".avif", _saved(Image.new("RGB", (1500, 1500)), "AVIF", speed=10, quality=1)),
    )
