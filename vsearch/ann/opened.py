"""An index that answers: search, save, load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch.ann import parts, reading
from vsearch.ann.cells import Cells
from vsearch.ann.gpu import GpuCopy
from vsearch.ann.library import faiss, threads
from vsearch.ann.transform import query_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.recipe import Recipe, SearchSettings

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

MOST_KEPT = 16


@dataclass(frozen=True, slots=True)
class AnnIndex:
    """A FAISS index over the vectors with ids below ``upto``.

    The watermark travels with the object: an older index read with a newer watermark would miss pictures.
    core: the index behind the linear map.  has_lists: whether vectors lie in inverted lists there; in a graph
    otherwise.  matrix, queries: (dim, dim) float32, what vectors and what queries are multiplied with to be compared
    there; None for as they are.
    """

    index: Any
    core: Any
    matrix: Matrix | None
    queries: Matrix | None
    upto: int
    name: str
    has_lists: bool
    _gpu: GpuCopy = field(default_factory=GpuCopy, repr=False, compare=False)
    _kept: dict[int, tuple[NDArray[np.uint8], Any]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, index: Any, upto: int, name: str = "") -> AnnIndex:
        """Wrap a trained FAISS index that holds the ids below ``upto``."""
        matrix, core = parts.apart(index)
        queries = None if matrix is None else query_map(matrix)
        return cls(index, core, matrix, queries, upto, name, isinstance(core, faiss().IndexIVF))

    def __len__(self) -> int:
        return int(self.index.ntotal)

    def search(self, xq: Matrix, k: int, settings: SearchSettings, live: NDArray[np.uint8]) -> Ids:
        """Candidates: (nq, k) ids of live vectors, best first by approximate score, -1 where there are fewer.

        live: bitmap of the ids that may be returned.  Settings go with the call; the index is never changed.
        """
        if self.queries is not None:
            xq = xq @ self.queries.T
        params = self._parameters(settings.nprobe if self.has_lists else max(settings.nprobe, k), live)
        xq = np.ascontiguousarray(xq)
        if self.has_lists and params.sel is None:
            batch = self._gpu.search(self.core, xq, k, params.nprobe)
            if batch is not None:
                return batch
        # One query is soon done: on a busy machine its threads would wait for each other longer than they work.
        with threads(1 if len(xq) == 1 else None):
            found: Ids = self.core.search(xq, k, params=params)[1]
        return found

    def _parameters(self, wide: int, live: NDArray[np.uint8]) -> Any:
        """FAISS's search parameters; wide: lists visited, or nodes of a graph.

        Making them takes as long as a quick search, so they are kept while the same bitmap is asked with.
        """
        kept = self._kept.get(wide)
        if kept is not None and kept[0] is live:
            return kept[1]
        library = faiss()
        # An index over nothing but live ids needs no selector.  Ids behind upto are not its own: one that is live would
        # make up for one of its own that is dead.
        whole, rest = divmod(self.upto, 8)
        alive = int(np.bitwise_count(live[:whole]).sum(dtype=np.int64))
        alive += (int(live[whole]) & ((1 << rest) - 1)).bit_count() if rest else 0
        selector = None if alive == len(self) else library.IDSelectorBitmap(live)
        if self.has_lists:
            params = library.SearchParametersIVF(nprobe=min(wide, self.core.nlist), sel=selector)
        else:
            params = library.SearchParametersHNSW(efSearch=wide, sel=selector)
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[wide] = (live, params)
        return params

    def cells(self) -> Cells | None:
        """The cells that its lists are filled by; None for kinds without lists."""
        return Cells(parts.centroids(self.core, self.matrix)) if self.has_lists else None

    def remove_others(self, kept: NDArray[np.uint8]) -> int:
        """Take out every id whose bit is not set in a bitmap; return how many went.  Graphs cannot: 0."""
        library = faiss()
        if not self.has_lists:
            return 0
        gone = int(self.core.remove_ids(library.IDSelectorNot(library.IDSelectorBitmap(kept))))
        self.index.ntotal = self.core.ntotal
        return gone

    @property
    def memory(self) -> int:
        """Bytes of memory that codes, ids and centroids take (a graph: and its links)."""
        counted = _Counter()
        self.save(counted.put)
        return counted.total

    @property
    def imbalance(self) -> float:
        """How unevenly the lists are filled: 1 for all alike, 2 when a search compares twice as many; 1 for graphs."""
        if not self.has_lists or not len(self):
            return 1.0
        return float(self.core.invlists.imbalance_factor())

    def save(self, put: Callable[[bytes], None]) -> None:
        """Write through our own checked writer: FAISS's loses the end of a file on a full disk without a word."""
        library = faiss()
        failed: list[BaseException] = []

        def write(data: bytes) -> int:
            # An exception cannot cross FAISS, so it is kept, and the short count makes FAISS stop.
            try:
                put(data)
            except BaseException as error:
                failed.append(error)
                return 0
            return len(data)

        try:
            library.write_index(self.index, library.PyCallbackIOWriter(write))
        except RuntimeError:
            if not failed:
                raise
        if failed:
            raise failed[0]


@dataclass(frozen=True, slots=True)
class Searchable:
    """An index and the settings that were tuned for it: one object, so that a swap can never mix two pairs."""

    index: AnnIndex
    recipe: Recipe


class _Counter:
    total = 0

    def put(self, data: bytes) -> None:
        self.total += len(data)


def load(path: Path, upto: int, name: str, *, mapped: bool = False, dim: int = 0) -> AnnIndex:
    """Read an index whose checksum has been compared.  Raises IndexCorrupt, FileNotFoundError.

    mapped: leave on disk what FAISS can leave there, for kinds that gain by it; such an index cannot be changed.
    dim: of the vectors that it must hold, 0 for any.
    """
    index = reading.read(path, mapped=mapped)
    parts.check_kind(index, path, dim)
    return AnnIndex.of(index, upto, name)
