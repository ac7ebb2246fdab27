"""What an index knows of pictures that are there more than once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from vsearch import duplicates
from vsearch.asking import Asking
from vsearch.duplicates import Duplicates, Keep
from vsearch.errors import QueryError
from vsearch.moving import Moved
from vsearch.store import Snapshot

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]


class Copies(Asking):
    """The part of an index that finds duplicates; ``Index`` gives it the rest."""

    def duplicates(
        self, *, keep: str = "largest", threshold: float | None = None, near: bool = True, within: bool = False
    ) -> Duplicates:
        """Find pictures that are there more than once: files with the same bytes, and near duplicates.

        keep: which of a group is kept: ``largest``, ``oldest``, ``newest`` or ``folder:PATH``.  threshold: cosine from
        which two pictures are compared by a perceptual hash; by default measured with pictures of the collection.
        near: False looks for identical files only, and reads no picture.
        within: also frames of one video, and members of one archive, as duplicates of each other.  What is no longer
        where it was is in no group.
        Nothing is changed: the result is a plan for ``move_duplicates``.
        Raises QueryError, EncoderError, IndexCorrupt.
        """
        if threshold is not None and not -1 <= threshold <= 1:
            raise QueryError(f"a threshold of {threshold}; it is a cosine, as 0.9")

        def search(snapshot: Snapshot, xq: Matrix, k: int, exclude: frozenset[int]) -> tuple[Matrix, Ids]:
            return self._find(snapshot, xq, k, "image", exclude)

        return duplicates.find(
            self._store,
            search,
            lambda: self.encoder,
            keep=Keep(keep),
            threshold=threshold,
            near=near,
            within=within,
        )

    def move_duplicates(self, plan: Duplicates, folder: str | os.PathLike[str]) -> tuple[list[Moved], Path]:
        """Move the pictures of a plan that are not kept into a folder, and take them out of the results.

        This alone touches your picture folders: files are renamed on the same disk, each only while it and the
        picture kept instead are what was indexed; nothing is overwritten.  Returns what became of each, and the path
        of a journal, with which ``duplicates.undo`` (``vsearch dups --undo JOURNAL``) moves them back.
        Raises QueryError for a folder in which they would be indexed again, SourceError, IndexNotWritable, DiskFull.
        """
        return duplicates.move(self._store, plan, Path(folder))
