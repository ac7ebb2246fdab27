"""What was found: groups of pictures, and which of each is to be kept.  A plan; nothing is done yet."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a group.  size in bytes, mtime_ns of the file when it was indexed.

    score: cosine with the picture that is kept, in [-1, 1].  bits: of the 256 of the perceptual hash, how many differ
    from that picture's; 0 for the same bytes (``identical``).
    """

    id: int
    raw_path: bytes
    content: bytes
    width: int
    height: int
    size: int
    mtime_ns: int
    score: float = 1.0
    bits: int = 0
    identical: bool = True

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(os.fsdecode(self.raw_path))


@dataclass(frozen=True, slots=True)
class Group:
    """A picture to keep, and those that are duplicates of it: each was compared with the kept one itself."""

    kept: Picture
    others: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What ``Index.duplicates`` found.

    threshold: cosine from which pictures were compared closer; None where only identical files were looked for.
    origin: where the threshold comes from, in words.  pictures: how many were looked at.  candidates: pairs over the
    threshold.  unread: pictures of such pairs that could not be read, and are in no group but for identical files.
    """

    groups: tuple[Group, ...]
    threshold: float | None
    origin: str
    pictures: int
    candidates: int
    unread: int

    @property
    def others(self) -> int:
        """How many pictures are duplicates of another that is kept."""
        return sum(len(group.others) for group in self.groups)
