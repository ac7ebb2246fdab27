"""What runs where a shard is: one index, open for searching."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from vsearch.index import Index, open_index
from vsearch.sharded.asked import Asked
from vsearch.types import EncoderInfo, Hit

Found = tuple[Hit, bytes]
"""A hit, and the content of its picture: 16 bytes, XXH3-128."""


class Shard:
    """An index of a cluster.  Calls may run side by side."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._index: Index | None = None

    def ready(self) -> EncoderInfo:
        """Open the index, unless it is, search once, and tell its encoder.  Raises what ``open`` raises."""
        info = self._opened().encoder_info
        first = Asked(np.eye(1, info.dim, dtype=np.float32)[0], "text", frozenset())
        self.search(first, 1, {"modality": "text", "where": None})  # maps the rows and loads what searching needs
        return info

    def _opened(self) -> Index:
        if self._index is None:
            self._index = open_index(self._path)
        return self._index

    def search(self, asked: Asked, k: int, options: dict[str, Any]) -> list[Found]:
        """The best k of this index, as ``Index.search`` finds them."""
        index = self._opened()
        hits = index.search(asked.vector, k + len(asked.hidden), **options)
        with index.store.snapshot() as snapshot:
            records = [(hit, snapshot.record(hit.id)) for hit in hits]
        found = [(hit, record.content) for hit, record in records if record is not None]
        return [(hit, what) for hit, what in found if not {hit.raw_path, what} & asked.hidden][:k]

    def process(self) -> int:
        """The id of the process, on its machine."""
        return os.getpid()
