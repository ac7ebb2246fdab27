"""The columns of one index, kept up to date, and the pictures that a filter lets through."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from vsearch.errors import FilterError
from vsearch.store import BLOCK_IDS, Snapshot, Store

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from vsearch.filters.engine import Engine

    Bitmap = NDArray[np.uint8]

MOST_KEPT = 64


class Columns:
    """What filters read.  Safe from any number of threads: filters are told one at a time.

    Loads nothing before the first filter: most searches have none.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._txn_id = -1
        self._stamps: dict[int, str] = {}
        self._blocks: dict[int, pa.RecordBatch] = {}
        self._engine: Engine | None = None
        self._kept: OrderedDict[str, Bitmap] = OrderedDict()

    def matching(self, snapshot: Snapshot, where: str | None) -> Bitmap | None:
        """Which pictures a filter holds for: bit i of byte i // 8, lowest first, for all ids that were ever given.

        Missing and dropped pictures may be among them.  None for no filter.  The latest filters are remembered.
        Raises FilterError, IndexCorrupt.
        """
        if where is None:
            return None
        if not isinstance(where, str):
            raise FilterError(f'a filter is a text, as in where="width >= 2000"; this is {type(where).__name__}')
        with self._lock:
            engine = self._current(snapshot)
            if (known := self._kept.get(where)) is not None:
                self._kept.move_to_end(where)
                return known
            mask, lasting = engine.matching(where, len(snapshot.live) * 8)
            bitmap = np.packbits(mask, bitorder="little")
            if lasting:
                self._kept[where] = bitmap
                if len(self._kept) > MOST_KEPT:
                    self._kept.popitem(last=False)
            return bitmap

    def table(self, snapshot: Snapshot) -> pa.Table:
        """All columns, with a row for each picture that is kept, missing ones too.  Raises IndexCorrupt."""
        with self._lock:
            return self._current(snapshot).table

    def names(self) -> dict[str, str]:
        """The columns that there are, with what they hold in the words of SQL."""
        with self._store.snapshot() as snapshot, self._lock:
            return self._current(snapshot).columns

    def refresh(self) -> None:
        """Write the column files of what has changed: without them each process makes those columns for itself.

        All methods of ``Index`` that change what columns say end with it.
        """
        from vsearch.filters.blocks import refresh

        refresh(self._store)

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:
            self._forget()
            self._blocks, self._stamps, self._txn_id = {}, {}, -1

    def _forget(self) -> None:
        self._kept.clear()
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _current(self, snapshot: Snapshot) -> Engine:
        if self._engine is None or self._txn_id != snapshot.txn_id:
            self._update(snapshot)
        assert self._engine is not None
        return self._engine

    def _update(self, snapshot: Snapshot) -> None:
        from vsearch.filters import blocks
        from vsearch.filters.engine import Engine
        from vsearch.filters.schema import joined

        stamps = snapshot.stamps()
        if self._engine is None or stamps != self._stamps or not stamps:
            self._forget()
            wanted = blocks.numbers(snapshot, stamps, BLOCK_IDS)
            self._blocks = {number: self._block(snapshot, number, stamps.get(number)) for number in wanted}
            self._engine = Engine(joined(list(self._blocks.values())))
        self._stamps, self._txn_id = stamps, snapshot.txn_id

    def _block(self, snapshot: Snapshot, number: int, stamp: str | None) -> pa.RecordBatch:
        from vsearch.filters import blocks

        if stamp is not None and self._stamps.get(number) == stamp and number in self._blocks:
            return self._blocks[number]
        named = self._store.layout.columns / blocks.file_name(number, stamp) if stamp else None
        found = blocks.read(named) if named else None
        return blocks.build(snapshot, number) if found is None else found
