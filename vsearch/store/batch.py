"""What one commit changes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vsearch.store.records import Record
from vsearch.types import Failure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Addition:
    """A picture and its vector: (dim,) float32 or float16, unit length."""

    record: Record
    vector: NDArray[np.floating]


@dataclass(slots=True)
class Batch:
    """Changes that become visible together or not at all.

    additions: get new ids; what was at their path is dropped.
    updates: id → new record (moved, touched, missing, or back again).
    dropped: ids to forget.
    failures: remembered by path; ``healed`` paths are forgotten.
    """

    additions: list[Addition] = field(default_factory=list)
    updates: dict[int, Record] = field(default_factory=dict)
    dropped: list[int] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    healed: list[bytes] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.additions or self.updates or self.dropped or self.failures or self.healed)

    def __len__(self) -> int:
        return len(self.additions) + len(self.updates) + len(self.dropped) + len(self.failures)


def path_key(path: bytes) -> bytes:
    """LMDB keys hold at most 511 bytes and paths may have 4,096, so the key is a digest (BLAKE2b-128)."""
    return hashlib.blake2b(path, digest_size=16).digest()
