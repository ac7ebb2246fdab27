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
    """Build and publish a generation over all vectors that are kept; return the report that lies beside it.

    Pictures that are missing are in it too: when they come back they have their old ids, which the tail leaves out.
    Vectors are compared with their checksums as they are read.  Raises TooFewVectors, RecipeError, IndexCorrupt,
    DiskFull.
    """
    started = time.monotonic()
    with store.snapshot() as snapshot:
        ids = snapshot.kept_ids()
        made = plan(recipe, len(ids), snapshot.space.dim)

        def sample(count: int, seed: int) -> Matrix:
            return snapshot.vectors(training_ids(ids, count, seed))

        index = ann.build(made, snapshot.space.dim, snapshot.head.next_id, sample, _kept_blocks(snapshot, ids))
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


def training_ids(ids: Ids, count: int, seed: int) -> Ids:
    """The ids to train on, ascending: a random sample, never the first ones.

    Folders are in order of date, and their first years look different from their last.
    """
    chosen: Ids = np.sort(np.random.default_rng(seed).choice(ids, count, replace=False))
    return chosen


def _kept_blocks(snapshot: Snapshot, kept: Ids) -> Iterator[tuple[Ids, Matrix]]:
    for ids, rows in snapshot.blocks():
        mask = np.isin(ids, kept, assume_unique=True)
        yield ids[mask], rows[mask].astype(np.float32)
