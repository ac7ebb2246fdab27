"""Vectors and what is known of the pictures, as other programs want them."""

from __future__ import annotations

from vsearch.export.clip_retrieval import to_clip_retrieval
from vsearch.export.milvus import Place, to_milvus
from vsearch.export.rows import ExportReport

__all__ = ["ExportReport", "Place", "to_clip_retrieval", "to_milvus"]
