"""Re-ranking: reading a picture and a text together, for the few best results of a search."""

from __future__ import annotations

from vsearch.rerank.fit import fit_reranker
from vsearch.rerank.measure import measure_reranker
from vsearch.rerank.reranker import DEPTH, Reranker
from vsearch.rerank.saved import load_matcher, save_matcher
from vsearch.rerank.stored import drop_patches, known_patches, store_patches
from vsearch.rerank.train import MatchTraining

__all__ = [
    "DEPTH",
    "MatchTraining",
    "Reranker",
    "drop_patches",
    "fit_reranker",
    "known_patches",
    "load_matcher",
    "measure_reranker",
    "save_matcher",
    "store_patches",
]
