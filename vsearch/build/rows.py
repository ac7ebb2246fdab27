"""Reading rows for a build: a random sample to train on, then all of them in blocks, without holding them."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from vsearch.kernels import widen
from vsearch.store import Snapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

_PIECE = 8192


def training_ids(ids: Ids, count: int, seed: int) -> Ids:
    """The ids to train on, ascending: a random sample, never the first ones.

    Folders are in order of date, and their first years look different from their last.
    """
    chosen: Ids = np.sort(np.random.default_rng(seed).choice(ids, count, replace=False))
    return chosen


def sample(snapshot: Snapshot, ids: Ids, count: int, seed: int) -> Matrix:
    """Vectors to train on: (count, dim), in random order, so that a prefix is a sample too."""
    chosen = training_ids(ids, count, seed)
    places = np.random.default_rng(seed + 1).permutation(count)
    out = np.empty((count, snapshot.space.dim), np.float32)
    for at in range(0, count, _PIECE):
        out[places[at : at + _PIECE]] = snapshot.vectors(chosen[at : at + _PIECE])
    release(snapshot)
    return out


def kept_blocks(snapshot: Snapshot, kept: Ids, start: int = 0) -> Iterator[tuple[Ids, Matrix]]:
    """The rows of ids that are kept, from id ``start`` on, as (ids, vectors float32) in id order.

    Compared with their checksums as they are read.  Raises IndexCorrupt.
    """
    for number, (ids, rows) in enumerate(snapshot.blocks(start)):
        mask = np.isin(ids, kept, assume_unique=True)
        yield (ids, widen(rows)) if mask.all() else (ids[mask], widen(rows[mask]))
        if number % 64 == 63:
            release(snapshot)


def release(snapshot: Snapshot) -> None:
    """Tell the system that the pages read so far are not needed here: mapped files count as memory of the process."""
    for reader in snapshot.readers:
        reader.mapping.madvise(mmap.MADV_DONTNEED)
