"""Measuring a re-ranker on swapped captions, beside what an encoder alone reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsearch.evaluate.compositional import Swap
from vsearch.evaluate.encoders import Measured, scored_swaps
from vsearch.rerank.reranker import Reranker, read_patches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def measure_reranker(swaps: list[Swap], reranker: Reranker) -> Measured:
    """Swap accuracy of a re-ranker, by kind.  Raises EncoderError, QueryError when no picture can be read."""
    patches, failures = read_patches([swap.path for swap in swaps], reranker.towers)

    def score(rows: NDArray[np.int64], texts: list[str]) -> NDArray[np.float32]:
        return reranker.score(patches[rows], texts)

    named = {"encoder": f"re-ranker over {reranker.towers.name}", "digest": reranker.digest[:12]}
    return scored_swaps(swaps, score, failures, named)
