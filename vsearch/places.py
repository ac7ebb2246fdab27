"""Where the pictures of an index lie: its roots, other places for them, and forgetting what is no longer wanted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vsearch.asking import Asking
from vsearch.errors import SourceError
from vsearch.members import address
from vsearch.sources.protocol import AnyPath, absolute
from vsearch.store import Snapshot
from vsearch.store.relocate import relocate
from vsearch.types import RootInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]


class Places(Asking):
    """The part of an index that knows of folders; ``Index`` gives it the rest."""

    def roots(self) -> list[RootInfo]:
        """The folders, archives and videos that pictures come from, by path, with what each was indexed with.

        One inside another counts in both.
        """
        with self._store.snapshot() as snapshot:
            settings = snapshot.settings()
            roots = sorted({root.rstrip(b"/") or b"/" for root in snapshot.roots()} | settings.keys())
            counts = _count(snapshot, [address.covered(root) for root in roots])
        return [
            RootInfo(root, *count, address.is_there(root.removesuffix(address.MARK)), settings.get(root, {}))
            for root, count in zip(roots, counts, strict=True)
        ]

    def move_root(self, old: AnyPath, new: AnyPath) -> int:
        """Put everything that is known below a folder below another one, where it lies now; return how many pictures.

        No picture is read: ids, vectors and tags stay.  The next ``add`` of the new folder finds what has changed.
        Raises QueryError when nothing lies below ``old``, SourceError when ``new`` is no folder, IndexNotWritable,
        DiskFull.
        """
        place = absolute(new)
        if not os.path.isdir(place):
            raise SourceError(f"there is no folder {os.fsdecode(place)!r}; name the one that the pictures lie in now")
        moved = relocate(self._store, absolute(old), place)
        self.columns.refresh()
        return moved

    def knows(self, path: AnyPath) -> bool:
        """Whether a path is one of the roots, or there are pictures below it."""
        return absolute(path) in {root.path for root in self.roots()} or len(self.ids_below(path)) > 0

    def ids_below(self, path: AnyPath) -> Ids:
        """Ids of the pictures below a folder, in an archive, or at a path, missing ones too: (n,) int64, ascending."""
        place = absolute(path)
        below = (place.rstrip(b"/") + b"/", place + address.MARK)
        with self._store.snapshot() as snapshot:
            found = [id for id, r in snapshot.items() if r.path == place or r.path.startswith(below)]
        return np.array(found, np.int64)


def _count(snapshot: Snapshot, prefixes: Sequence[bytes]) -> list[tuple[int, int]]:
    """(pictures that are shown, pictures that are gone) below each prefix."""
    counts = [[0, 0] for _ in prefixes]
    for _, record in snapshot.items():
        for number, prefix in enumerate(prefixes):
            if record.path.startswith(prefix):
                counts[number][record.missing] += 1
    return [(shown, gone) for shown, gone in counts]
