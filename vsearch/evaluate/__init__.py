"""Measuring: the answers of an index, what they cost and how they are made up, and how good an encoder is."""

from __future__ import annotations

from vsearch.evaluate.ann import measure, recall
from vsearch.evaluate.audit import AuditReport, audit
from vsearch.evaluate.compositional import read_swaps
from vsearch.evaluate.encoders import (
    Measured,
    measure_comparison,
    measure_retrieval,
    measure_swaps,
    measure_zeroshot,
)
from vsearch.evaluate.pairs import read_pairs
from vsearch.evaluate.zeroshot import read_labelled

__all__ = [
    "AuditReport",
    "Measured",
    "audit",
    "measure",
    "measure_comparison",
    "measure_retrieval",
    "measure_swaps",
    "measure_zeroshot",
    "read_labelled",
    "read_pairs",
    "read_swaps",
    "recall",
]
