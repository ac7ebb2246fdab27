"""Indexes as shards of one collection, each searched by a Ray actor."""

from __future__ import annotations

from vsearch.sharded.hits import ShardedHits
from vsearch.sharded.index import ShardedIndex

__all__ = ["ShardedHits", "ShardedIndex"]
