"""A small joint space with a gap between pictures and texts, and its exact answers: for tests of indexes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import gapped  # noqa: E402

COUNT, DIM, QUERIES = 8000, 128, 200


@dataclass(frozen=True)
class Space:
    """images: (COUNT, DIM) as the store keeps them.  queries, truth: by modality.  texts: to learn from."""

    images: np.ndarray
    texts: np.ndarray
    queries: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]


@cache
def space() -> Space:
    made = gapped.Gapped(3, gapped.Shape(dim=DIM, content=64, local=16, themes=20, topics=10))
    images = made.images(COUNT).astype(np.float16).astype(np.float32)
    queries = {"text": made.text_queries(QUERIES), "image": made.image_queries(QUERIES)}
    truth = {name: np.sort(xq @ images.T, axis=1)[:, ::-1][:, :10] for name, xq in queries.items()}
    return Space(images, made.text_sample(1500), queries, truth)


def recall(of: Space, modality: str, ids: np.ndarray) -> float:
    """Share of the found whose score is among the ten best, ties allowed; each must be found once."""
    assert all(len(set(row)) == len(row) for row in ids.tolist())
    scores = np.einsum("qkd,qd->qk", of.images[ids], of.queries[modality])
    return float((scores >= of.truth[modality][:, 9:10] - 1e-6).mean())
