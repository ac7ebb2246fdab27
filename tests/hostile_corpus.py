"""Thousands of hostile picture files from a seed, what must become of each, and a judge of what did.

Nothing is downloaded: a few dozen valid pictures of every format and mode are drawn, then cut short, flipped,
renamed and surrounded by things that are no pictures.  Used by the suite and by the long form.
"""

import os
import random
import socket
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import xxhash
from hostile_samples import bombs, no_pictures, samples

from vsearch.decode import Decoded, Same
from vsearch.types import Failure


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
        self.no_pictures = no_pictures()
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
    costly = list(bombs())
    while len(writer.expected.paths) < n:
        if costly and writer.rng.random() < 0.01:
            writer.expected.either.add(writer.write(*costly.pop()))
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
