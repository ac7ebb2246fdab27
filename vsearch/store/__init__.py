"""The store: LMDB as the only truth, flat fp16 files for vectors, FAISS files as a cache that LMDB may name."""

from __future__ import annotations

from vsearch.store.batch import Addition, Batch
from vsearch.store.described import BLOCK_IDS
from vsearch.store.records import Derived, Generation, Head, Record, Segment, Space, content_of
from vsearch.store.snapshot import Snapshot
from vsearch.store.store import Store

__all__ = [
    "BLOCK_IDS",
    "Addition",
    "Batch",
    "Derived",
    "Generation",
    "Head",
    "Record",
    "Segment",
    "Snapshot",
    "Space",
    "Store",
    "content_of",
]
