"""Thousands of hostile picture files from a seed, what must become of each, and a judge of what did.

Nothing is downloaded: a few dozen valid pictures of every format and mode are drawn, then cut short, flipped,
renamed and surrounded by things that are no pictures.  Used by the suite and by the long form.
"""

import io
import os
import pickle
import random
import socket
import struct
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pillow_heif
import xxhash
from PIL import Image, PngImagePlugin

from vsearch.decode import Decoded, Same
from vsearch.types import Failure


@dataclass(frozen=True)
class Sample:
    """A valid file.  cuttable: losing its second half certainly loses pixels of the first frame."""

    suffix: bytes
    data: bytes
    width: int
    height: int
    cuttable: bool = True


@dataclass
class Expected:
    """What was written.  good: path -> (width, height, digest of the bytes)."""

    paths: list[bytes] = field(default_factory=list)
    good: dict[bytes, tuple[int, int, bytes]] = field(default_factory=dict)
    bad: set[bytes] = field(default_factory=set)
    either: set[bytes] = field(default_factory=set)


@dataclass
class Report:
    """files = decoded + failed.  unexplained: one line for each breach; empty when all promises held."""

    files: int = 0
    decoded: int = 0
    failed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)


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


@cache
def samples(seed: int) -> tuple[Sample, ...]:
    """Every valid picture that the corpus is made of."""
    return (*_plain_samples(seed), *_many_frame_samples(seed), *_turned_samples(seed), *_odd_sized_samples())


# ---- files that are no pictures, and bombs


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, *chunks: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + b"".join(chunks) + _chunk(b"IEND", b"")


@cache
def _no_pictures() -> tuple[bytes, ...]:
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
def _bombs() -> tuple[tuple[bytes, bytes], ...]:
    """(suffix, bytes) of files that cost far more than their size; whether they fail depends on the limits."""
    zeros = zlib.compress(bytes(20_000_000), 9)
    pixels = _chunk(b"IDAT", zlib.compress(b"\0" * 31 * 10))
    scans = _saved(Image.new("L", (2000, 2000), 99), "JPEG", progressive=True)
    last = scans.rindex(b"\xff\xda")
    return (
        (b".jpg", scans[:last] + scans[last:-2] * 3000 + b"\xff\xd9"),
        (b".png", _png(10, 10, _chunk(b"zTXt", b"key\0\0" + zeros), pixels)),
        (b".png", _png(10, 10, _chunk(b"iCCP", b"name\0\0" + zeros), pixels)),
        (b".png", _saved(Image.new("L", (6000, 6000)), "PNG")),
        (b".webp", _saved(Image.new("RGB", (3500, 3500)), "WEBP", quality=1, method=0)),
        (b".gif", _saved(Image.new("L", (6000, 6000)), "GIF")),
        (b".tif", _saved(Image.new("L", (6000, 6000)), "TIFF", compression="tiff_lzw")),
        (b".avif", _saved(Image.new("RGB", (1500, 1500)), "AVIF", speed=10, quality=1)),
    )


# ---- names


def _name(rng: random.Random, n: int, suffix: bytes) -> bytes:
    """A file name that nobody else has; every fourth is odd."""
    number = b"%06d" % n
    if n % 4:
        return number + suffix
    nfd = unicodedata.normalize("NFD", "é").encode()
    odd = [
        b"\xff\xfe\x80 not UTF-8 ",
        b"line\nbreak\r\ttab ",
        "\u202egpj.exe ".encode(),
        "🍎🏳️‍🌈 ".encode(),
        "é".encode(),
        nfd,
        b"-rf ",
        b"~ ",
        b";$(touch x)`touch y` ",
        b"<img src=x onerror=alert(1)> ",
        b"%s%n%00 ",
        b" " * 20,
        b"Case ",
        b"case ",
        b"x" * (255 - len(number + suffix)),
    ]
    return rng.choice(odd) + number + (suffix.upper() if rng.random() < 0.2 else suffix)


# ---- the corpus

_SUFFIXES = (b".jpg", b".png", b".webp", b".gif", b".tif", b".bmp", b".heic", b".avif")


class _Writer:
    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng = folder, random.Random(seed)
        self.expected = Expected()
        self.samples = samples(seed)
        self.cuttable = [s for s in self.samples if s.cuttable]
        self.no_pictures = _no_pictures()
        self.specials = [self.folder_, self.pipe, self.socket_, self.dangling, self.loop, self.device, self.sparse]
        self.specials += [self.parent] if os.geteuid() == 0 else [self.parent, self.forbidden]

    def path(self, suffix: bytes) -> bytes:
        n = len(self.expected.paths)
        below = os.fsencode(self.folder) + b"/%03d" % (n // 1000)
        os.makedirs(below, exist_ok=True)
        path = below + b"/" + _name(self.rng, n, suffix)
        self.expected.paths.append(path)
        return path

    def write(self, suffix: bytes, data: bytes) -> bytes:
        path = self.path(suffix)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def good(self) -> None:
        sample = self.rng.choice(self.samples)
        suffix = sample.suffix if self.rng.random() < 0.8 else self.rng.choice(_SUFFIXES)  # or a wrong one
        path = self.write(suffix, sample.data)
        digest = xxhash.xxh3_128_digest(sample.data)
        self.expected.good[path] = (sample.width, sample.height, digest)
        if self.rng.random() < 0.1:
            link = self.path(suffix)
            os.symlink(path, link)
            self.expected.good[link] = self.expected.good[path]

    def cut(self) -> None:
        sample = self.rng.choice(self.cuttable)
        self.expected.bad.add(self.write(sample.suffix, sample.data[: self.rng.randrange(len(sample.data) // 2)]))

    def cut_anywhere(self) -> None:
        sample = self.rng.choice(self.samples)
        self.expected.either.add(self.write(sample.suffix, sample.data[: self.rng.randrange(len(sample.data))]))

    def flip(self) -> None:
        """Some wrong bits or bytes, half of the time among the first 200 bytes, where the structure is."""
        sample = self.rng.choice(self.samples)
        data = bytearray(sample.data)
        reach = min(len(data), 200) if self.rng.random() < 0.5 else len(data)
        for _ in range(self.rng.choice((1, 1, 2, 5, 50))):
            at = self.rng.randrange(reach)
            data[at] = data[at] ^ 1 << self.rng.randrange(8) if self.rng.random() < 0.6 else self.rng.choice((0, 255))
        self.expected.either.add(self.write(sample.suffix, bytes(data)))

    def no_picture(self) -> None:
        data = self.rng.choice([*self.no_pictures, self.rng.randbytes(500)])
        self.expected.bad.add(self.write(self.rng.choice(_SUFFIXES), data))

    def special(self) -> None:
        path = self.path(b".jpg")
        self.rng.choice(self.specials)(path)
        self.expected.bad.add(path)

    def folder_(self, path: bytes) -> None:
        os.mkdir(path)

    def pipe(self, path: bytes) -> None:
        os.mkfifo(path)

    def socket_(self, path: bytes) -> None:
        below, name = os.path.split(path)
        handle = os.open(below, os.O_PATH)  # an address has at most 108 bytes, so go through a short name
        try:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(b"/proc/self/fd/%d/s" % handle)
            os.rename(below + b"/s", path)
        finally:
            os.close(handle)

    def dangling(self, path: bytes) -> None:
        os.symlink(b"nowhere", path)

    def loop(self, path: bytes) -> None:
        os.symlink(os.path.basename(path), path)

    def parent(self, path: bytes) -> None:
        os.symlink(b"..", path)

    def device(self, path: bytes) -> None:
        os.symlink(b"/dev/zero", path)

    def sparse(self, path: bytes) -> None:
        with open(path, "wb") as file:
            file.truncate(2**40)

    def forbidden(self, path: bytes) -> None:
        with open(path, "wb") as file:
            file.write(self.samples[0].data)
        os.chmod(path, 0)


def make(folder: Path, n: int, seed: int) -> Expected:
    """Write n hostile and good files below a folder; paths are in the order in which to decode them.

    The expectations hold for pixel limits between 0.2 and 4,000 megapixels and a byte limit between 3 MB and 1 TB.
    """
    writer = _Writer(folder, seed)
    kinds = {
        writer.good: 25,
        writer.cut: 20,
        writer.cut_anywhere: 10,
        writer.flip: 30,
        writer.no_picture: 10,
        writer.special: 5,
    }
    bombs = list(_bombs())
    while len(writer.expected.paths) < n:
        if bombs and writer.rng.random() < 0.01:
            writer.expected.either.add(writer.write(*bombs.pop()))
        else:
            writer.rng.choices(list(kinds), list(kinds.values()))[0]()
    return writer.expected


# ---- the judge


def judge(expected: Expected, outcomes: Iterable[Decoded | Same | Failure]) -> Report:
    """Compare outcomes, in the order of ``expected.paths``, with what had to come."""
    report = Report()
    pixels: dict[bytes, bytes] = {}
    outcomes = list(outcomes)
    if [o.path for o in outcomes] != expected.paths:
        report.unexplained.append("the outcomes are not those of the files, one each and in order")
    for outcome in outcomes:
        report.files += 1
        if isinstance(outcome, Failure):
            report.failed += 1
            report.reasons[f"{outcome.stage}: {outcome.reason}"] += 1
            breach = _breach_of_failure(outcome, expected)
        else:
            report.decoded += 1
            breach = _breach_of_picture(outcome, expected, pixels)
        if breach:
            report.unexplained.append(f"{outcome.path!r}: {breach}")
    return report


def _breach_of_failure(failure: Failure, expected: Expected) -> str | None:
    if failure.path in expected.good:
        return f"a good picture failed: {failure.reason}"
    if failure.stage not in ("read", "decode"):
        return f"stage {failure.stage}"
    if not 3 < len(failure.reason) < 200 or not failure.reason.isprintable():
        return f"a reason that is not one line: {failure.reason!r}"
    if os.fsdecode(failure.path) in failure.reason or "0x" in failure.reason:
        return f"a reason with a path or an address: {failure.reason!r}"
    return None


def _breach_of_picture(picture: Decoded | Same, expected: Expected, pixels: dict[bytes, bytes]) -> str | None:
    if not isinstance(picture, Decoded):
        return "not decoded"
    if picture.path in expected.bad:
        return "a bad file became a picture"
    told = (picture.width, picture.height, picture.content)
    if expected.good.get(picture.path, told) != told:
        return f"expected {expected.good[picture.path]}, got {told}"
    digest = xxhash.xxh3_128_digest(picture.pixels.tobytes())
    if pixels.setdefault(picture.content, digest) != digest:
        return "the same bytes gave other pixels before"
    return None
