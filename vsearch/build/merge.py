"""Keep a generation fresh: the tail joins the lists without training, while the lists still fit."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch import ann
from vsearch import recipe as recipes
from vsearch.build.rows import kept_blocks
from vsearch.errors import IndexCorrupt, QueryError
from vsearch.store import Store, maintain
from vsearch.store.check import generation_problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]

# An index grown to more than this many times what its lists were made for has lists that are too long.
GROWTH = 2.0
# New rows that lie this much farther from their centroids than the old ones are of another kind.
MISFIT = 1.3
IMBALANCE = 1.5


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a collection has moved from what its index was trained on.

    tail: share of the rows that the index does not hold.  growth: rows now for each row at training.
    misfit: squared distance of the tail from its centroids, as a ratio to that of the rows at training.
    imbalance: that of the lists now, as a ratio to that after training.
    """

    tail: float
    growth: float
    misfit: float
    imbalance: float

    @property
    def stale(self) -> bool:
        """Whether to train anew rather than to merge."""
        return self.growth > GROWTH or self.misfit > MISFIT or self.imbalance > IMBALANCE


def drift(store: Store) -> Drift | None:
    """How far the collection has moved from its index; None when it has none.  Looks at a sample of the tail.

    Raises IndexCorrupt.
    """
    with store.snapshot() as snapshot:
        named = snapshot.space.generation
        if named is None:
            return None
        index = _load(store)
        measured = recipes.measured(named.recipe)
        ids = snapshot.kept_ids()
        tail = ids[ids >= named.upto]
        some = tail[:: max(1, len(tail) // 2000)]
        cells = index.cells()
        error = float(cells.of(snapshot.vectors(some))[1].mean()) if cells is not None and len(some) else 0.0
        return Drift(
            len(tail) / max(1, len(ids)),
            len(ids) / max(1, int(measured.get("trained_for", len(ids)))),
            error / max(1e-9, float(measured.get("assignment_error", 0.0))) if error else 1.0,
            index.imbalance / max(1e-9, float(measured.get("imbalance", 1.0))),
        )


def merge(store: Store) -> dict[str, Any]:
    """Publish a generation that holds the old one's rows and the tail's, and no row that was dropped.

    Nothing is trained: cells, codes and search settings stay.  Raises QueryError when there is no generation,
    IndexCorrupt, DiskFull, IndexNotWritable.
    """
    started = time.monotonic()
    with store.snapshot() as snapshot:
        named = snapshot.space.generation
        if named is None:
            raise QueryError("there is no FAISS index to merge into; build one with: vsearch build")
        index = _load(store)
        ids = snapshot.kept_ids()
        removed = index.remove_others(_bitmap(ids, snapshot.head.next_id))
        grown = ann.Growing.onto(index)
        tail = ids[ids >= named.upto]
        for some, rows in kept_blocks(snapshot, tail, named.upto):
            grown.add(some, rows)
        merged = grown.finished(snapshot.head.next_id)
    report = {
        "recipe": recipes.from_plan(named.recipe).name,
        "count": len(ids),
        "merged": len(tail),
        "removed": removed,
        "seconds": round(time.monotonic() - started, 3),
        "bytes_per_vector": round(merged.memory / max(1, len(ids)), 1),
    }
    maintain.publish_generation(
        store, lambda sink: merged.save(sink.put), upto=merged.upto, count=len(ids), recipe=named.recipe, report=report
    )
    return report


def _load(store: Store) -> ann.AnnIndex:
    with store.snapshot() as snapshot:
        named = snapshot.space.generation
        assert named is not None
        path = store.layout.ann(snapshot.space.name) / named.name / maintain.INDEX_FILE
        problem = generation_problem(path, named)
        try:
            if problem:
                raise IndexCorrupt(problem)
            return ann.load(path, named.upto, named.name, dim=snapshot.space.dim)
        except IndexCorrupt as error:
            raise IndexCorrupt(f"{error}; build it again: vsearch build") from error


def _bitmap(ids: Ids, length: int) -> NDArray[np.uint8]:
    bits = np.zeros((length + 7) // 8 * 8, np.uint8)
    bits[ids] = 1
    return np.packbits(bits, bitorder="little")
