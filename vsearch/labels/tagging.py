"""Labels for a whole collection, from the vectors that are stored: no picture is read again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from vsearch.kernels import widen
from vsearch.labels.classifier import Classifier
from vsearch.store import Batch, Snapshot, Store
from vsearch.types import Progress, TagReport, Tags

if TYPE_CHECKING:
    from numpy.typing import NDArray

COMMIT_PICTURES = 65_536
_CELLS = 1 << 22  # pictures times labels at once: what the softmax works on stays in the cache's reach


def tag(
    store: Store,
    classifier: Classifier,
    *,
    least: float,
    top: int,
    progress: Callable[[Progress], None] | None = None,
) -> TagReport:
    """Give every picture its likeliest labels as tags, in place of the tags that it has.

    least: lowest confidence of a tag.  top: most tags of a picture.  Pictures that are missing are tagged too: they
    may come back.  Committed every 65,536 pictures; after an interruption the rest has the tags that it had.
    Raises IndexCorrupt, IndexNotWritable, DiskFull.
    """
    started = time.monotonic()
    with store.snapshot() as snapshot:
        kept = snapshot.kept_ids()
    done = tagged = 0
    for first in range(0, len(kept), COMMIT_PICTURES):
        mine = kept[first : first + COMMIT_PICTURES]
        with store.snapshot() as snapshot:
            told = dict(labelled(snapshot, mine, classifier, top, least))
        store.commit(Batch(tags=told))
        done += len(mine)
        tagged += sum(map(bool, told.values()))
        if progress is not None:
            progress(Progress(done, len(kept), tagged, 0, time.monotonic() - started))
    return TagReport(len(kept), tagged, len(classifier.labels), time.monotonic() - started)


def labelled(
    snapshot: Snapshot, ids: NDArray[np.int64], classifier: Classifier, top: int, least: float
) -> Iterator[tuple[int, Tags]]:
    """Tags of stored pictures, best first.  ids: ascending; one that was dropped meanwhile is passed over."""
    step = max(1, _CELLS // len(classifier.labels))
    first, stop = (int(ids[0]), int(ids[-1])) if len(ids) else (0, -1)
    for block, rows in snapshot.blocks(first):
        if block[0] > stop:
            break
        mine = np.isin(block, ids, assume_unique=True)
        block, rows = block[mine], rows[mine]
        for at in range(0, len(block), step):
            yield from _tags(block[at : at + step], rows[at : at + step], classifier, top, least)


def _tags(
    ids: NDArray[np.int64], rows: NDArray[np.float16], classifier: Classifier, top: int, least: float
) -> Iterator[tuple[int, Tags]]:
    chosen, shares = classifier.best(widen(rows), top, least)
    names = classifier.labels
    for id, labels, confidences in zip(ids.tolist(), chosen.tolist(), shares.tolist(), strict=True):
        pairs = zip(labels, confidences, strict=True)
        yield id, tuple((names[label], round(share, 6)) for label, share in pairs if label >= 0)


def clear(store: Store) -> int:
    """Take all tags away; return how many pictures had some.  Raises IndexNotWritable, DiskFull."""
    with store.snapshot() as snapshot:
        tagged = [id for id in snapshot.kept_ids().tolist() if snapshot.tags(id)]
    for first in range(0, len(tagged), COMMIT_PICTURES):
        store.commit(Batch(tags=dict.fromkeys(tagged[first : first + COMMIT_PICTURES], ())))
    return len(tagged)
