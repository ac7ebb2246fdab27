"""Build a FAISS generation from the store: sample, train, add, publish."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch import ann
from vsearch.recipe import Recipe, plan
from vsearch.store import Snapshot, Store, maintain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]


def build(store: Store, recipe: Recipe) -> dict[str, Any]:
    """Build and publish a generation over all live vectors; return the report that lies beside it.

    Vectors are compared with their checksums as they are read.  Raises TooFewVectors, RecipeError, IndexCorrupt,
    DiskFull.
    """
    started = time.monotonic()
    with store.snapshot() as snapshot:
        ids = snapshot.live_ids()
        made = plan(recipe, len(ids), snapshot.space.dim)

        def sample(count: int, seed: int) -> Matrix:
            # A random sample, never the first rows: folders are in order of date, and their first years differ.
            chosen = np.random.default_rng(seed).choice(len(ids), count, replace=False)
            return snapshot.vectors(np.sort(ids[chosen]))

        index = ann.build(made, snapshot.space.dim, snapshot.head.next_id, sample, _live_blocks(snapshot))
    report = {
        "recipe": recipe.name,
        "factory": made.factory,
        "count": len(ids),
        "train": made.train,
        "seconds": round(time.monotonic() - started, 3),
    }
    maintain.publish_generation(
        store,
        lambda sink: index.save(sink.put),
        upto=index.upto,
        count=len(ids),
        recipe=made.toml(),
        report=report,
    )
    return report


def _live_blocks(snapshot: Snapshot) -> Iterator[tuple[Ids, Matrix]]:
    for ids, rows in snapshot.blocks():
        live = snapshot.is_live(ids)
        yield ids[live], rows[live].astype(np.float32)
