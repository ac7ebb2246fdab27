"""Where a member's bytes lie in its archive."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One member.  Sizes and offsets in bytes.

    at: where its bytes begin; with ``headed``, where the zip header before them does.  stored: how many there are.
    size: after unpacking.  deflated: whether they have to be unpacked.  crc: CRC-32 after unpacking, where known.
    """

    at: int
    stored: int
    size: int
    deflated: bool = False
    headed: bool = False
    crc: int | None = None


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
    """An archive's table of contents: members that can be read, by name in the order of their bytes, and the others."""

    stamp: Stamp
    entries: dict[bytes, Entry]
    faults: tuple[Fault, ...]


def stamp_of(status: os.stat_result) -> Stamp:
    """The state of an archive."""
    return Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
