"""Where the pictures of an index lie: its roots, other places for them, and forgetting what is no longer wanted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vsearch.arguments import whole_number, written
from vsearch.errors import QueryError, SourceError
from vsearch.filters import Columns
from vsearch.members import address
from vsearch.sources.protocol import AnyPath, absolute
from vsearch.store import Batch, Snapshot, Store
from vsearch.store.records import MOST_ID
from vsearch.store.relocate import relocate
from vsearch.types import RootInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]

Pictures = Iterable[int] | Iterable[AnyPath] | AnyPath
BATCH = 4096  # pictures that are forgotten in one transaction


class Roots:
    """The folders of one index."""

    def __init__(self, store: Store, columns: Columns) -> None:
        self._store = store
        self._columns = columns

    def listed(self) -> list[RootInfo]:
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

    def move(self, old: AnyPath, new: AnyPath) -> int:
        """Put everything that is known below a folder below another one, where it lies now; return how many pictures.

        No picture is read: ids, vectors and tags stay.  The next ``add`` of the new folder finds what has changed.
        Raises QueryError when nothing lies below ``old``, SourceError when ``new`` is no folder, IndexNotWritable,
        DiskFull.
        """
        place = absolute(new)
        if not os.path.isdir(place):
            raise SourceError(f"there is no folder {os.fsdecode(place)!r}; name the one that the pictures lie in now")
        if not self.knows(old):
            raise QueryError(
                f"no picture lies below {os.fsdecode(absolute(old))}; see what there is with: vsearch roots"
            )
        moved = relocate(self._store, absolute(old), place)
        self._columns.refresh()
        return moved

    def knows(self, path: AnyPath) -> bool:
        """Whether a path is one of the roots, or there are pictures below it."""
        return absolute(path) in {root.path for root in self.listed()} or len(self.ids_below(path)) > 0

    def ids_below(self, path: AnyPath) -> Ids:
        """Ids of the pictures below a folder, in an archive, or at a path, missing ones too: (n,) int64, ascending."""
        place = absolute(path)
        below = (place.rstrip(b"/") + b"/", place + address.MARK)
        with self._store.snapshot() as snapshot:
            found = [id for id, r in snapshot.items() if r.path == place or r.path.startswith(below)]
        return np.array(found, np.int64)

    def all_ids(self) -> Ids:
        """Ids of all pictures, missing ones too: (n,) int64, ascending."""
        with self._store.snapshot() as snapshot:
            return snapshot.kept_ids()

    def ids_matching(self, where: str) -> Ids:
        """Ids of the pictures for which a condition on the columns holds, missing ones too: (n,) int64, ascending.

        Raises FilterError.
        """
        with self._store.snapshot() as snapshot:
            ids = snapshot.kept_ids()
            bitmap = self._columns.matching(snapshot, where)
            holds = np.unpackbits(bitmap, bitorder="little")[ids].astype(bool) if bitmap is not None else ids >= 0
        found: Ids = ids[holds]
        return found

    def remove(self, pictures: Pictures) -> int:
        """Forget pictures (never their files), by ids or by the paths or URIs they have; return how many there were."""
        named = [pictures] if isinstance(pictures, (str, bytes, os.PathLike)) else _listed(pictures)
        with self._store.snapshot() as snapshot:
            ids = {id for one in named if (id := _id_of(snapshot, one)) is not None}
        return self._drop(sorted(ids))

    def forget(self, path: AnyPath) -> int:
        """Forget all that is known below a folder, of an archive, or of a picture; return how many pictures there were.

        Files stay where they are, and those in a folder that is indexed come back with its next run.  Failures there
        are forgotten too, and so are roots.
        """
        place = absolute(path)
        below = (place.rstrip(b"/") + b"/", place + address.MARK)

        def inside(path: bytes) -> bool:
            return path.rstrip(b"/") == place or path.startswith(below)

        ids = self.ids_below(path).tolist()
        with self._store.snapshot() as snapshot:
            failures = [failure.path for failure in snapshot.failures() if inside(failure.path)]
            roots = [root.rstrip(b"/") for root in (*snapshot.roots(), *snapshot.settings()) if inside(root)]
        count = self._drop(ids)
        self._store.commit(Batch(healed=failures, settings=dict.fromkeys(roots)))
        self._columns.refresh()
        return count

    def _drop(self, ids: Sequence[int]) -> int:
        for first in range(0, len(ids), BATCH):
            self._store.commit(Batch(dropped=list(ids[first : first + BATCH])))
        return len(ids)


def _listed(pictures: Iterable[int] | Iterable[AnyPath]) -> list[int] | list[AnyPath]:
    try:
        return list(pictures)  # type: ignore[return-value]
    except TypeError:
        raise QueryError(f"pictures are given as a list of ids or paths, and this is {written(pictures)}") from None


def _id_of(snapshot: Snapshot, picture: int | AnyPath) -> int | None:
    if not isinstance(picture, (str, bytes, os.PathLike)):
        number = whole_number(picture, "an id")
        return number if 0 <= number <= MOST_ID and snapshot.record(number) is not None else None
    whole = absolute(picture)
    names = (os.fsencode(picture), whole)
    return next((id for name in names if (id := snapshot.at_path(name)) is not None), None)


def _count(snapshot: Snapshot, prefixes: Sequence[bytes]) -> list[tuple[int, int]]:
    """(pictures that are shown, pictures that are gone) below each prefix."""
    counts = [[0, 0] for _ in prefixes]
    for _, record in snapshot.items():
        for number, prefix in enumerate(prefixes):
            if record.path.startswith(prefix):
                counts[number][record.missing] += 1
    return [(shown, gone) for shown, gone in counts]
