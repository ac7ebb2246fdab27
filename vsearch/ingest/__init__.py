"""Ingestion: sources ► decode ► embed ► store."""

from __future__ import annotations

from vsearch.ingest.pipeline import Ingestion, Options, ingest

__all__ = ["Ingestion", "Options", "ingest"]
