"""How LMDB values are written: fixed-layout item records, and checksummed msgpack for the few others.

LMDB keeps no checksums, so every value carries its own CRC-32.
"""

from __future__ import annotations

import re
import struct
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Annotated, TypeVar

import msgspec

from vsearch.errors import IndexCorrupt
from vsearch.store.layout import DERIVED_FILE, GENERATION_NAME, SPACE_NAME
from vsearch.types import EncoderInfo

MADE_KEY = b"made/"  # and the name of a space: what its vectors were made with
MISSING = 1
RACY = 2
RACY_NS = 2_000_000_000  # a file written so shortly ago may change again within one tick of its clock

_ITEM = struct.Struct("<16sQqqqIIHHI")
_CRC = struct.Struct("<I")
_ID = struct.Struct(">Q")

T = TypeVar("T")

# Bounds of what a value may say, so that a strange one is refused before memory is taken for it.
MOST_ID = 1 << 33  # a bitmap of all ids is a gigabyte then
MOST_DIM = 1 << 16
MOST_SIDE = 1 << 14  # pixels
Id = Annotated[int, msgspec.Meta(ge=0, le=MOST_ID)]
Number = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
Bytes = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


@dataclass(slots=True)
class Record:
    """Everything kept of one picture.

    content: 16-byte XXH3-128 of the file's bytes.  width, height: pixels, upright.
    flags: MISSING (no longer where it was), RACY (written so shortly before it was read that its time and size
    cannot tell a later change).
    """

    path: bytes
    content: bytes
    size: int
    mtime_ns: int
    ctime_ns: int
    added_ns: int
    width: int
    height: int
    caption: str | None = None
    flags: int = 0

    @property
    def missing(self) -> bool:
        """Whether the file was gone when it was last looked for."""
        return bool(self.flags & MISSING)

    def pack(self) -> bytes:
        """64 bytes, the path, the caption, a CRC-32: no parsing on the way back."""
        caption = b"" if self.caption is None else self.caption.encode()
        head = _ITEM.pack(
            self.content,
            self.size,
            self.mtime_ns,
            self.ctime_ns,
            self.added_ns,
            self.width,
            self.height,
            self.flags,
            len(self.path),
            len(caption),
        )
        return seal(head + self.path + caption)

    @classmethod
    def unpack(cls, raw: bytes) -> Record:
        """The record that ``pack`` made.  Raises IndexCorrupt."""
        body = opened(raw, "the record of a picture")
        try:
            content, size, mtime, ctime, added, width, height, flags, n, m = _ITEM.unpack_from(body)
            start = _ITEM.size
            caption = body[start + n : start + n + m].decode() if m else None
        except (struct.error, UnicodeDecodeError) as error:
            raise IndexCorrupt(f"the metadata is damaged: the record of a picture cannot be read ({error})") from error
        return cls(body[start : start + n], content, size, mtime, ctime, added, width, height, caption, flags)


def content_of(raw: bytes) -> bytes:
    """The content hash of a record that ``pack`` made, without unpacking the rest."""
    return raw[:16]


class Segment(msgspec.Struct, frozen=True, array_like=True):
    """A file of vectors and how many of its rows are committed.

    Rows are in id order.  Row r holds id ``first_id + r``, unless ``ids_sha256`` is set: then a compaction left
    gaps, and a file of the same name with ``.ids`` lists the id of each row.
    end_id: one past the last id.
    """

    number: Number
    first_id: Id
    end_id: Id
    rows: Number
    ids_sha256: str = ""

    @property
    def name(self) -> str:
        """File name of the rows."""
        return f"{self.number:08d}.f16"

    @property
    def ids_name(self) -> str:
        """File name of the ids, where there is one."""
        return f"{self.number:08d}.ids"


class Generation(msgspec.Struct, frozen=True, array_like=True):
    """A FAISS index over all live vectors with ids below ``upto``: a cache, believed only if its hash agrees."""

    name: str
    length: Bytes
    sha256: Sha256
    upto: Id
    count: Id
    recipe: str

    def __post_init__(self) -> None:
        """Refuse a name that this program did not make.  Raises ValueError."""
        _check_name(self.name, GENERATION_NAME)


class Derived(msgspec.Struct, frozen=True, array_like=True):
    """A file that can be made again from the rest, believed only if its hash agrees.

    as_of: id of the transaction whose state it was made from, 0 when that is not known.
    """

    name: str
    length: Bytes
    sha256: Sha256
    as_of: Bytes = 0

    def __post_init__(self) -> None:
        """Refuse a name that this program did not make.  Raises ValueError."""
        _check_name(self.name, DERIVED_FILE)


class Space(msgspec.Struct, frozen=True):
    """One joint space: its encoder, its vectors, its live generation.

    absent: runs (start, stop) of ids of pictures that could not be embedded into this space.  Their rows are zeros, and
    they are not found until ``index`` reads them again as new.
    """

    key: Annotated[int, msgspec.Meta(ge=0, lt=1 << 16)]
    name: str
    encoder: bytes
    dim: Annotated[int, msgspec.Meta(ge=1, le=MOST_DIM)]
    segments: tuple[Segment, ...] = ()
    generation: Generation | None = None
    absent: tuple[tuple[Id, Id], ...] = ()

    def __post_init__(self) -> None:
        """Refuse a name that this program did not make.  Raises ValueError."""
        _check_name(self.name, SPACE_NAME)

    @property
    def end_id(self) -> int:
        """One past the last id that has a row."""
        return self.segments[-1].end_id if self.segments else 0


def _check_name(name: str, pattern: re.Pattern[str]) -> None:
    if pattern.fullmatch(name) is None:
        raise ValueError(f"{name!r} is not a name that vsearch gives")


def with_runs(runs: tuple[tuple[int, int], ...], ids: list[int]) -> tuple[tuple[int, int], ...]:
    """Runs (start, stop) in order, with ascending ids that lie behind them added."""
    out = list(runs)
    for id in ids:
        if out and out[-1][1] == id:
            out[-1] = (out[-1][0], id + 1)
        else:
            out.append((id, id + 1))
    return tuple(out)


class Head(msgspec.Struct, frozen=True):
    """What holds for the whole index.  Counters only grow: names and ids are never used twice."""

    identity: str
    next_id: Id = 0
    next_segment: Number = 1
    next_generation: Number = 1
    space: str = ""
    images: Id = 0
    missing: Id = 0


def seal(body: bytes) -> bytes:
    """Append the CRC-32."""
    return body + _CRC.pack(zlib.crc32(body))


def opened(raw: bytes, what: str) -> bytes:
    """The body of a sealed value.  Raises IndexCorrupt."""
    body, told = raw[:-4], raw[-4:]
    if len(raw) < 4 or _CRC.pack(zlib.crc32(body)) != told:
        raise IndexCorrupt(
            f"the metadata is damaged: {what} does not match its checksum. "
            f"See what is left with: vsearch check; rebuild what can be rebuilt with: vsearch repair"
        )
    return body


def encode(value: msgspec.Struct) -> bytes:
    """A state value for LMDB."""
    return seal(msgspec.msgpack.encode(value))


def decode(raw: bytes, kind: type[T], what: str) -> T:
    """The value that ``encode`` wrote.  Raises IndexCorrupt."""
    try:
        return msgspec.msgpack.decode(opened(raw, what), type=kind)
    except msgspec.DecodeError as error:
        raise IndexCorrupt(f"the metadata is damaged: {what} cannot be read ({error})") from error


def id_key(id: int) -> bytes:
    """LMDB key of an id: big-endian, so that the tree is in id order and new ids go to its end."""
    return _ID.pack(id)


def key_id(key: bytes) -> int:
    """The id of a key.  Raises IndexCorrupt for a key of another length."""
    id = int(_ID.unpack(key)[0]) if len(key) == _ID.size else MOST_ID + 1
    if id > MOST_ID:
        raise IndexCorrupt("the metadata is damaged: a key that is not an id; mend it with: vsearch repair")
    return id


def pack_encoder(info: EncoderInfo) -> bytes:
    """An encoder's description for LMDB."""
    return msgspec.json.encode(asdict(info))


@lru_cache(maxsize=16)  # every query asks for it
def unpack_encoder(raw: bytes) -> EncoderInfo:
    """The description that ``pack_encoder`` made.  Raises IndexCorrupt."""
    try:
        info = msgspec.json.decode(raw, type=EncoderInfo)
    except msgspec.DecodeError as error:
        raise IndexCorrupt(
            f"the metadata is damaged: the description of the encoder cannot be read ({error}); restore a backup"
        ) from error
    if not 1 <= info.preprocess.size <= MOST_SIDE:
        raise IndexCorrupt(f"the metadata is damaged: an encoder of pictures of {info.preprocess.size} pixels")
    return info


def unpack_space(raw: bytes, name: str) -> Space:
    """The space that is kept under a name.  Raises IndexCorrupt, also when it has another name."""
    space = decode(raw, Space, "a space")
    if space.name != name:
        raise IndexCorrupt(f"the metadata is damaged: the space {name!r} calls itself {space.name!r}; restore a backup")
    if unpack_encoder(space.encoder).dim != space.dim:
        raise IndexCorrupt(f"the metadata is damaged: the space {name!r} is not as wide as its encoder's vectors")
    return space


def derived_key(space: str, what: str = "") -> bytes:
    """Key of a derived file in the table of states; without ``what`` the start of the keys of all kinds."""
    return f"derived/{space}/{what}".encode()


def unpack_derived(raw: bytes | None) -> Derived | None:
    """The derived file that the metadata names; a name that is damaged is as good as none."""
    with suppress(IndexCorrupt):
        return None if raw is None else decode(raw, Derived, "the name of a derived file")
    return None
