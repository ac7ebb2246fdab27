"""Decode and embed on a Ray cluster (extra ``distributed``)."""

from __future__ import annotations

from vsearch.distributed.cluster import Cluster, connect

__all__ = ["Cluster", "connect"]
