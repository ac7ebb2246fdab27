"""From ids and scores to hits: what is known of each picture, read from one consistent moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsearch.errors import IndexCorrupt
from vsearch.store import Snapshot
from vsearch.types import Hit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def hits(snapshot: Snapshot, scores: NDArray[np.float32], ids: NDArray[np.int64], first: int = 1) -> list[Hit]:
    """The hits of one query: scores and ids (k,), best first; -1 stands for no picture and is left out.

    first: the rank of the first.

    Raises IndexCorrupt for an id without a record.
    """
    told: list[Hit] = []
    for score, id in zip(scores.tolist(), ids.tolist(), strict=True):
        if id >= 0:
            record = snapshot.record(id)
            if record is None:
                raise IndexCorrupt(f"the picture with id {id} has lost its record; mend it with: vsearch repair", (id,))
            at = (record.path, record.caption, record.width, record.height)
            told.append(Hit(first + len(told), id, min(1.0, max(-1.0, score)), *at))
    return told
