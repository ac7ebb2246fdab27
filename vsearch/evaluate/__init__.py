"""Measuring: how good the answers of an index are, what they cost, and how they are made up."""

from __future__ import annotations

from vsearch.evaluate.ann import measure, recall
from vsearch.evaluate.audit import AuditReport, audit

__all__ = ["AuditReport", "audit", "measure", "recall"]
