"""Ingestion: sources ► decode ► embed ► store."""

from __future__ import annotations

from vsearch.ingest.embedded import EmbeddedReport, add_embedded
from vsearch.ingest.pipeline import Ingestion, Options, ingest
from vsearch.ingest.respace import RespaceOptions, respace
from vsearch.ingest.vectors import add_vectors

__all__ = [
    "EmbeddedReport",
    "Ingestion",
    "Options",
    "RespaceOptions",
    "add_embedded",
    "add_vectors",
    "ingest",
    "respace",
]
