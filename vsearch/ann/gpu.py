"""A copy of an index on a GPU, for batches of queries."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch.ann.library import faiss

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

# Fewer queries are answered sooner where they are than it takes to send them.
FEWEST = 32
# What FAISS's kernels for inverted lists can do.
MOST = 2048


def has_gpu() -> bool:
    """Whether FAISS can use a GPU here: there is one, and the FAISS that is installed is made for it."""
    return bool(faiss().get_num_gpus())


class GpuCopy:
    """Copies an index when it is first asked with a batch, if there is a GPU and its kind has a form there.

    FAISS's GPU indexes answer one thread at a time, so there is a lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tried = False
        self._copy: Any = None
        self._resources: Any = None  # FAISS needs them as long as the copy

    def search(self, core: Any, xq: Matrix, k: int, nprobe: int) -> Ids | None:
        """The ids (nq, k) that ``core``, an index of inverted lists, gives; None where it is to be asked itself.

        xq: (nq, dim) float32, contiguous.  Equal scores may come in another order.
        """
        if len(xq) < FEWEST or max(k, nprobe) > MOST or not has_gpu():
            return None
        with self._lock:
            if not self._tried:
                self._tried, self._resources = True, faiss().StandardGpuResources()
                self._copy = _copied(core, self._resources)
            if self._copy is None:
                return None
            found: Ids = self._copy.search(xq, k, params=faiss().SearchParametersIVF(nprobe=nprobe))[1]
            return found


def _copied(core: Any, resources: Any) -> Any:
    """The index on the first GPU; None for kinds that have no form there, and when its memory is too small."""
    try:
        return faiss().index_cpu_to_gpu(resources, 0, core)
    except RuntimeError:
        return None
