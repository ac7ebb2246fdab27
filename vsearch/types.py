"""The plain values that pass between rooms: frozen dataclasses without behaviour of their own."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union
from urllib.parse import quote_from_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

Target = Literal["pictures", "captions"]
Kind = Literal["text", "image", "mixed"]  # what a query is made of
QueryValue = Union[str, Path, "Image", "NDArray[np.floating]", "Crop"]


def file_uri(path: bytes) -> str:
    """``file://`` URI of an absolute path of any bytes (RFC 8089): ASCII, and unambiguous for names that are not UTF-8.

    Any other name is the URI under which a vector was imported, and stays one.
    """
    if not path.startswith(b"/"):
        return quote_from_bytes(path, safe="/:?#[]@!$&'()*+,;=%~")
    return "file://" + quote_from_bytes(path)


Cell = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Item:
    """A picture as a source names it, before anything was read of it.

    path: absolute, as bytes, since a file name may be any bytes.  size in bytes; times in nanoseconds.
    columns: what else the source knows of it, by name; for filters.
    """

    path: bytes
    size: int
    mtime_ns: int
    ctime_ns: int
    caption: str | None = None
    columns: dict[str, Cell] | None = None


@dataclass(frozen=True, slots=True)
class Details:
    """What a camera, or a table, says of a picture; None for what is not known.

    taken: microseconds since 1970 on the clock of the camera.  offset: minutes that this clock was ahead of UTC.
    latitude, longitude: degrees, north and east positive.  columns: those of a table, by name.
    """

    taken: int | None = None
    offset: int | None = None
    latitude: float | None = None
    longitude: float | None = None
    camera: str | None = None
    lens: str | None = None
    iso: int | None = None
    columns: dict[str, Cell] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self != Details()


Settings = dict[str, bool | float | list[str]]
"""What a root is indexed with: the names and values of the options of ``folder`` that are not as by default."""

Tags = tuple[tuple[str, float], ...]
"""Tags of a picture with their confidence in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that did not become part of the index, and why.

    stage: ``scan`` (could not be looked at), ``read`` (could not be opened or read), ``decode``, ``embed``.
    size and mtime_ns are those of the file that failed: it is tried again when they change.  limits: where the reason
    names a limit, what that was; the file is tried again when it is higher.
    """

    path: bytes
    stage: Literal["scan", "read", "decode", "embed"]
    reason: str
    size: int = -1
    mtime_ns: int = -1
    limits: tuple[float, ...] = ()

    @property
    def uri(self) -> str:
        """The path as a ``file://`` URI."""
        return file_uri(self.path)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run of ``Index.add`` is: pictures looked at, of how many (None: not known yet), since the start."""

    done: int
    total: int | None
    added: int
    failed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class AddReport:
    """What one run of ``Index.add`` did.

    added: pictures that are new or whose bytes changed.  changed: the same bytes, with another caption or other values
    of a table than before.  unchanged: all the same.  moved: same bytes at another path.
    removed: pictures that are no longer where they were (kept aside until ``prune``).
    known_failures: files that failed in an earlier run and have not changed, so they were not read again.
    stages: of ``seconds``, those spent in ``scan`` (looking for changes), ``decode`` (waiting for pictures to be
    decoded), ``embed`` (the encoder, its loading included) and ``store`` (writing).
    passed_by: files in folders whose names are not those of pictures, by suffix (``.psd``), most first.
    left_out: kind → how many files were passed by that an option would take in, as ``RAW files``.
    """

    added: int = 0
    unchanged: int = 0
    moved: int = 0
    removed: int = 0
    changed: int = 0
    failures: tuple[Failure, ...] = ()
    known_failures: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    stages: dict[str, float] = field(default_factory=dict)
    passed_by: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """How many files could not be read in this run."""
        return len(self.failures)

    @property
    def images_per_second(self) -> float:
        """Pictures embedded per second of wall time, 0.0 when none was."""
        return self.added / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class RootInfo:
    """A folder, or an archive (``x.zip#``), that pictures come from.

    images: pictures below it that are shown.  missing: those that were gone when last looked for.  there: whether it
    exists now.  settings: the options it was indexed with that are not as by default.
    """

    path: bytes
    images: int
    missing: int
    there: bool
    settings: Settings


@dataclass(frozen=True, slots=True)
class SpaceReport:
    """What one change to another space did.

    space: its name.  embedded: pictures embedded in this run.  failures: pictures that could not be read again, and are
    not found in this space until ``index`` sees them again.  missing: pictures that were known to be gone, likewise.
    """

    space: str
    embedded: int
    failures: tuple[Failure, ...] = ()
    missing: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What ``Index.check`` found.  problems: in words, empty when every byte is what was committed.

    images: records compared.  bytes: of vectors and FAISS files read.
    """

    problems: tuple[str, ...]
    images: int
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What ``Index.repair`` did, in words; empty when nothing was wrong."""

    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """One result of a search.  score: cosine in [-1, 1], higher is better.  rank starts at 1.

    confidence: in [0, 1], how far the score is above what queries that mean nothing find here; None where that is not
    known (see ``vsearch.confidence``).  Unlike scores, those of texts and of pictures can be compared.
    raw_copies: paths of other files with the very same bytes.  ids: of a caption that was searched for, all pictures
    that have it; empty for a picture.
    """

    rank: int
    id: int
    score: float
    raw_path: bytes
    caption: str | None
    width: int
    height: int
    raw_copies: tuple[bytes, ...] = ()
    ids: tuple[int, ...] = ()
    confidence: float | None = None

    @property
    def path(self) -> Path:
        """Where the picture is (undecodable bytes as surrogate escapes, as Python does)."""
        return Path(os.fsdecode(self.raw_path))

    @property
    def copies(self) -> tuple[Path, ...]:
        """Where else the same bytes are."""
        return tuple(Path(os.fsdecode(path)) for path in self.raw_copies)

    @property
    def uri(self) -> str:
        """The path as a ``file://`` URI."""
        return file_uri(self.raw_path)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of a picture as it stands upright: its upper left corner, width and height.

    unit: ``pixels``, or ``fractions`` of the picture's width and height, in [0, 1].
    """

    x: float
    y: float
    width: float
    height: float
    unit: Literal["pixels", "fractions"] = "pixels"


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of a picture as query: ``Crop(Path("sunset.jpg"), Box(0, 0.5, 1, 0.5, "fractions"))``."""

    picture: Union[Path, "Image"]
    box: Box


@dataclass(frozen=True, slots=True)
class Part:
    """One term of a query: a text, a picture file, a picture in memory or a part of it, or the id of an indexed one.

    Or a vector, (dim,) floats, made elsewhere by the model that the index names; scaled to unit length.
    """

    value: QueryValue | int
    weight: float = 1.0


@dataclass(frozen=True)
class Query:
    """A weighted sum of texts and pictures: ``2 * Query("beach") + Path("sunset.jpg") - "people"``.

    The type of each term decides its meaning: str is text, Path, PIL image or Crop is a picture.
    Terms are embedded, weighted, added and normalised to unit length, so all weights may be scaled by one number.
    """

    parts: tuple[Part, ...]

    def __init__(self, *values: QueryValue | Part) -> None:
        parts = tuple(v if isinstance(v, Part) else Part(v) for v in values)
        object.__setattr__(self, "parts", parts)

    @classmethod
    def like(cls, id: int) -> Query:
        """The stored vector of an indexed picture as query."""
        return cls(Part(id))

    def __add__(self, other: Query | QueryValue) -> Query:
        return Query(*self.parts, *_as_query(other).parts)

    def __sub__(self, other: Query | QueryValue) -> Query:
        return self + -1.0 * _as_query(other)

    def __mul__(self, weight: float) -> Query:
        return Query(*(Part(p.value, p.weight * weight) for p in self.parts))

    __rmul__ = __mul__


def _as_query(value: Query | QueryValue) -> Query:
    return value if isinstance(value, Query) else Query(value)


@dataclass(frozen=True, slots=True)
class PixelSpec:
    """What an encoder wants to see: the geometry of its input.

    size: side of the square in pixels.
    resize: ``shortest`` scales the short side to ``scale_to`` and crops the centre; ``squash`` scales both
    sides to ``size``; ``longest`` scales the long side to ``size`` and pads with ``fill``.
    scale_to: the short side before the crop (0 means ``size``).
    """

    size: int
    resize: Literal["shortest", "squash", "longest"] = "shortest"
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    scale_to: int = 0
    fill: int = 0
    draft: bool = True


@dataclass(frozen=True)
class EncoderInfo:
    """What makes vectors comparable: two encoders with equal digests make the same vectors.

    name: as given to ``--encoder``.  weights: SHA-256 of the weights, hex.  dim: length of a vector.
    settings: everything else that changes a vector (normalisation constants, prompt, temperature).
    """

    name: str
    weights: str
    dim: int
    preprocess: PixelSpec
    settings: dict[str, Any] = field(default_factory=dict)
    normalised: bool = True

    @cached_property
    def digest(self) -> str:
        """SHA-256, hex, over all of it but the name."""
        told = asdict(self)
        told.pop("name")
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    @property
    def space(self) -> str:
        """Name of the joint space on disk: a readable word and the start of the digest."""
        word = "".join(c if c.isalnum() else "-" for c in self.name.lower())[:40].strip("-")
        return f"{word}-{self.digest[:12]}"


@dataclass(frozen=True, slots=True)
class MadeWith:
    """What vectors of pictures were made with: a precision, as ``float32``, and the name of the processor."""

    precision: str
    processor: str


@dataclass(frozen=True, slots=True)
class Label:
    """What a picture may show.  confidence: in [0, 1]; those of all labels asked about add up to 1."""

    name: str
    confidence: float


@dataclass(frozen=True, slots=True)
class TagReport:
    """What ``Index.tag`` did.  pictures: looked at.  tagged: those of them that have a tag now."""

    pictures: int
    tagged: int
    labels: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Phrase:
    """A text near to a picture.  score: cosine in [-1, 1]."""

    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Description:
    """What texts lie nearest to a picture: captions of the collection, and phrases of the bundled vocabulary."""

    captions: tuple[Hit, ...]
    phrases: tuple[Phrase, ...]


@dataclass(frozen=True)
class SpaceInfo:
    """One joint space of an index.

    embedded: pictures with a vector in it, absent: that could not be read when it was made, of ``images`` in all.
    live: whether it answers the queries.  made_with: of its first vectors, where that is known.
    """

    name: str
    encoder: EncoderInfo
    embedded: int
    absent: int
    images: int
    live: bool
    made_with: MadeWith | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing is left to embed."""
        return self.embedded + self.absent == self.images


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What ``vsearch.merge`` did.

    repeated: pictures left out because another shard knows their path from later.  failures: remembered files that
    could not be read.  kept_ids: whether the ids are those of the shards.
    """

    shards: int
    images: int
    repeated: int
    failures: int
    kept_ids: bool
    seconds: float
    warnings: tuple[str, ...] = ()
