"""From the vectors of a collection to places on a plane."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vsearch.projection.layout import lay_out
from vsearch.store import Snapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

MOST_POINTS = 50_000
MOST_GROUPS = 16
MOST_TAGS = 16
ROUNDS = 25


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures that belong together: what they are called, "" for not known, and how many of them are laid out."""

    label: str
    count: int


@dataclass(frozen=True)
class Projection:
    """Pictures on a plane.

    ids: (n,) int64.  xy: (n, 2) float32 in [-1, 1].  group: (n,) int64 into ``groups``, which are ordered by size.
    centres: (groups, dim) float32, the unit vector in the middle of each.  tag: (n,) int64 into ``tags``, the most
    frequent first, -1 for none of them.  pictures: how many there are in all; n is fewer where a sample was laid out.
    """

    ids: Ids
    xy: Matrix
    group: Ids
    groups: tuple[Group, ...]
    centres: Matrix
    tag: Ids
    tags: tuple[Group, ...]
    pictures: int


def project(snapshot: Snapshot, most: int = MOST_POINTS, seed: int = 0) -> Projection:
    """Lay out the pictures that are shown, or an even sample of ``most`` of them, the same for the same seed.

    Groups are found by spherical k-means and placed by ``lay_out``; they have no names yet (see ``named``).
    Raises IndexCorrupt.  Cost: reads the vectors laid out, and for 50,000 of 512 dimensions takes a few seconds.
    """
    ids = snapshot.live_ids()
    pictures = len(ids)
    if pictures > most:
        ids = np.sort(np.random.default_rng(seed).choice(ids, most, replace=False))
    if not len(ids):
        nothing = np.zeros(0, np.int64)
        dim = snapshot.space.dim
        return Projection(
            ids, np.zeros((0, 2), np.float32), nothing, (), np.zeros((0, dim), np.float32), nothing, (), 0
        )
    x = np.concatenate([rows.astype(np.float32) for _, rows in snapshot.blocks_of(ids)])
    group, centres = _groups(x, seed)
    sizes = np.bincount(group, minlength=len(centres))
    groups = tuple(Group("", int(size)) for size in sizes)
    tag, tags = _tags(snapshot, ids)
    return Projection(ids, lay_out(x, group, centres), group, groups, centres, tag, tags, pictures)


def _groups(x: Matrix, seed: int) -> tuple[Ids, Matrix]:
    """The group of each row, and the centres, largest group first; groups that nobody is in are left out."""
    import faiss

    k = int(np.clip(round((len(x) / 6) ** 0.5), 1, MOST_GROUPS))
    # Fewer points than FAISS likes for a centroid are fine here: nothing but a picture hangs on them.
    kmeans = faiss.Kmeans(x.shape[1], k, niter=ROUNDS, seed=seed + 1, spherical=True, min_points_per_centroid=1)
    kmeans.train(np.ascontiguousarray(x))
    group = (x @ kmeans.centroids.T).argmax(axis=1)
    sizes = np.bincount(group, minlength=k)
    order = np.argsort(-sizes, kind="stable")[: int((sizes > 0).sum())]
    number = np.full(k, -1, np.int64)
    number[order] = np.arange(len(order))
    return number[group], np.asarray(kmeans.centroids[order], np.float32)


def _tags(snapshot: Snapshot, ids: Ids) -> tuple[Ids, tuple[Group, ...]]:
    """For each picture the likeliest of its tags that is among the most frequent ones."""
    told = [[name for name, _ in sorted(snapshot.tags(id), key=lambda tag: -tag[1])] for id in ids.tolist()]
    frequent = Counter(name for names in told for name in names).most_common(MOST_TAGS)
    at = {name: number for number, (name, _) in enumerate(frequent)}
    tag = np.array([next((at[name] for name in names if name in at), -1) for names in told], np.int64)
    return tag, tuple(Group(name, count) for name, count in frequent)
