"""Where a member's bytes lie in its archive."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec

from vsearch.bounds import size_and_times

Values = Mapping[str, Any]


class Entry(msgspec.Struct, frozen=True, tag=True):
    """Bytes of a file that are a picture.  Sizes and offsets in bytes.

    at: where its bytes begin; with ``headed``, where the zip header before them does.  stored: how many there are.
    size: after unpacking.  deflated: whether they have to be unpacked.  crc: CRC-32 after unpacking, where known.
    """

    at: int
    stored: int
    size: int
    deflated: bool = False
    headed: bool = False
    crc: int | None = None


class Row(msgspec.Struct, frozen=True, tag=True):
    """One value of a column, or one picture of an array.

    name: of the column, or of the array in its file.  index: in the row group, or in the array.  group: of rows.
    """

    kind: Literal["parquet", "npz", "hdf5"]
    name: str
    index: int
    group: int = 0


class Moment(msgspec.Struct, frozen=True, tag=True):
    """The first frame of a video or an animation that is shown at this time or later."""

    seconds: float


class Raw(msgspec.Struct, frozen=True, tag=True):
    """What a camera's sensor gave, to be developed."""


Part = Entry | Row | Moment | Raw


class Member(NamedTuple):
    """What an archive's table of contents lists.  caption, values: what it says of the picture, if anything."""

    name: bytes
    part: Part
    caption: Any = None
    values: Values | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A member that cannot be read, or a damaged place (an empty name), and why."""

    name: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells one state of an archive from another."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True)
class Contents:
    """An archive's table of contents: members that can be read, by name in the order of their bytes, and the others.

    said: the caption and the values of columns of those members of which it says some.
    """

    stamp: Stamp
    entries: dict[bytes, Part]
    faults: tuple[Fault, ...]
    said: dict[bytes, tuple[Any, Values | None]]


def stamp_of(status: os.stat_result) -> Stamp:
    """The state of an archive."""
    return Stamp(status.st_dev, status.st_ino, *size_and_times(status))
