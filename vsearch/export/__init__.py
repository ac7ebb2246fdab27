"""Vectors and what is known of the pictures, as other programs want them."""

from __future__ import annotations

from vsearch.export.clip_retrieval import clip_retrieval

__all__ = ["clip_retrieval"]
