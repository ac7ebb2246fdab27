"""Jobs around ``Index.build``: one that builds and may be killed, one that looks at what is left."""

from __future__ import annotations

from typing import Any

import numpy as np

import vsearch
from vsearch.store import maintain

COUNT, DIM = 800, 16
DEFECT = "old generation dropped first"


def _rows(seed: int, count: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def prepare(root: str) -> str:
    """An index with a generation; return that one's name."""
    with vsearch.create(root, encoder=f"external:killed:{DIM}") as index:
        index.add_vectors([f"v/{n}" for n in range(COUNT)], _rows(0, COUNT))
    return build(root)


def build(root: str, mutant: str = "") -> str:
    """Build again through the front door; return the name of the generation."""
    with vsearch.open(root, write=True) as index:
        if mutant == DEFECT:
            maintain.drop_generation(index.store)
        index.build("ivf-sq8", text_queries=_rows(1, 120))
        return _generation(index) or ""


def look(root: str) -> dict[str, Any]:
    """What a reader finds: the generation, whether it answers, and what ``check`` says."""
    with vsearch.open(root) as index:
        xq = _rows(2, 20)
        found = index.search_vectors(xq, 10, modality="text")[1]
        truth = np.argsort(-(xq @ _rows(0, COUNT).T), axis=1)[:, :10]
        recall = float(
            np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), truth.tolist(), strict=True)])
        )
        return {"generation": _generation(index), "recall": float(recall), "problems": list(index.check().problems)}


def _generation(index: vsearch.Index) -> str | None:
    with index.store.snapshot() as snapshot:
        named = snapshot.space.generation
        return None if named is None else named.name
