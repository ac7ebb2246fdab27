"""What an index is, in values that JSON can hold."""

from __future__ import annotations

from typing import Any

from vsearch import recipe as recipes
from vsearch.store import Store, maintain


def about(store: Store) -> dict[str, Any]:
    """Counts, encoder, sizes, and what was measured of the FAISS index when it was built."""
    with store.snapshot() as snapshot:
        head, space, generation = snapshot.head, snapshot.space, snapshot.space.generation
        shown = snapshot.shown
        rows = sum(s.rows for s in space.segments)
        failures = sum(1 for _ in snapshot.failures())
    encoder, root = store.encoder_info, store.layout.root
    return {
        "path": str(root),
        "images": shown,
        "missing": head.missing,
        "failed": failures,
        "encoder": encoder.name,
        "dim": encoder.dim,
        "space": space.name,
        "vectors": rows,
        "bytes": maintain.size_on_disk(root),
        "index": "exact" if generation is None else recipes.from_plan(generation.recipe).name,
        "indexed": 0 if generation is None else generation.count,
        **({} if generation is None else recipes.measured(generation.recipe)),
        "tail": head.next_id - (0 if generation is None else generation.upto),
        "format": 1,
        "uuid": head.identity,
    }
