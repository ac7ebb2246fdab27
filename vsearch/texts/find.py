"""The nearest texts to a vector: captions as hits, phrases with their score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vsearch.kernels import topk
from vsearch.store import Snapshot
from vsearch.texts.textset import TextSet
from vsearch.types import Hit, Phrase

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]


def captions(snapshot: Snapshot, known: TextSet, xq: Matrix, k: int) -> list[Hit]:
    """The k different captions nearest to a query (1, dim), of pictures that are shown.

    A hit is the caption with the first picture that has it; ``ids`` are all pictures that have it.
    """
    live = snapshot.is_live(known.owners)
    owned = known.owned(live)
    scores, numbers = topk(xq, known.blocks(), k, np.packbits(owned, bitorder="little"))
    found: list[Hit] = []
    for score, number in zip(scores[0].tolist(), numbers[0].tolist(), strict=True):
        if number < 0:
            break
        ids = known.owners_of(number)
        shown = ids[snapshot.is_live(ids)].tolist()
        record = snapshot.record(shown[0])
        assert record is not None, "a live id has a record"
        at = (record.path, known.text(number), record.width, record.height)
        found.append(Hit(len(found) + 1, shown[0], _cosine(score), *at, ids=tuple(shown)))
    return found


def phrases(known: TextSet, xq: Matrix, k: int) -> list[Phrase]:
    """The k texts nearest to a query (1, dim)."""
    scores, numbers = topk(xq, known.blocks(), k)
    found = zip(scores[0].tolist(), numbers[0].tolist(), strict=True)
    return [Phrase(known.text(number), _cosine(score)) for score, number in found if number >= 0]


def _cosine(score: float) -> float:
    return min(1.0, max(-1.0, score))
