"""Measuring: how good the answers of an index are, and what they cost."""

from __future__ import annotations

from vsearch.evaluate.ann import measure, recall

__all__ = ["measure", "recall"]
