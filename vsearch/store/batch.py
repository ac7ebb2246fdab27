"""What one commit changes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from vsearch.store.records import Record
from vsearch.types import Details, Failure, Settings, Tags

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Addition:
    """A picture and its vector: (dim,) float32 or float16, unit length; and what filters may ask of it."""

    record: Record
    vector: NDArray[np.floating]
    details: Details | None = None


class ArchiveState(NamedTuple):
    """What an archive was when it was read.  members: pictures and failures that it gave.

    every: seconds between the frames of a video; 0.0 for anything else.  names: the rule of which names were looked at.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    members: int
    every: float = 0.0
    names: str = ""


@dataclass(slots=True)
class Batch:
    """Changes that become visible together or not at all.

    additions: get new ids; what was at their path is dropped.
    updates: id → new record (moved, touched, missing, or back again).
    dropped: ids to forget.
    failures: remembered by path; ``healed`` paths are forgotten.
    details, tags: id → what an existing picture has from now on instead of what it had; empty for none.
    roots: folders that pictures come from, to be remembered: what ``folder`` is told from in filters.
    archives: path → the state in which all of an archive's members were accounted for.
    rows: table → the digests of the paths of its pictures (``path_key``), one after the other.
    settings: root → what it was indexed with; None for a root to be forgotten.
    """

    additions: list[Addition] = field(default_factory=list)
    updates: dict[int, Record] = field(default_factory=dict)
    dropped: list[int] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    healed: list[bytes] = field(default_factory=list)
    details: dict[int, Details] = field(default_factory=dict)
    tags: dict[int, Tags] = field(default_factory=dict)
    roots: tuple[bytes, ...] = ()
    archives: dict[bytes, ArchiveState] = field(default_factory=dict)
    settings: dict[bytes, Settings | None] = field(default_factory=dict)
    rows: dict[bytes, bytes] = field(default_factory=dict)

    def __bool__(self) -> bool:
        described = self.details or self.tags or self.roots or self.archives or self.settings or self.rows
        return bool(self.additions or self.updates or self.dropped or self.failures or self.healed or described)

    def __len__(self) -> int:
        described = len(self.details) + len(self.tags)
        return len(self.additions) + len(self.updates) + len(self.dropped) + len(self.failures) + described


def path_key(path: bytes) -> bytes:
    """LMDB keys hold at most 511 bytes and paths may have 4,096, so the key is a digest (BLAKE2b-128)."""
    return hashlib.blake2b(path, digest_size=16).digest()
