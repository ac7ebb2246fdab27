"""FAISS itself, loaded when first needed, with the settings of the process that everything here relies on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


@cache
def faiss() -> Any:
    """The library."""
    import faiss

    # By default a batch of under 250 queries at 512 dimensions does not use BLAS, also in the coarse quantiser.
    faiss.cvar.distance_compute_blas_threshold = 2000
    # A forked child that searches with more than one OpenMP thread hangs.
    os.register_at_fork(after_in_child=lambda: faiss.omp_set_num_threads(1))
    return faiss


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let FAISS use this many threads inside the block, for calls of this thread; None changes nothing."""
    if count is None:
        yield
        return
    library = faiss()
    before = library.omp_get_max_threads()
    library.omp_set_num_threads(count)
    try:
        yield
    finally:
        library.omp_set_num_threads(before)


def reason(error: RuntimeError) -> str:
    """What FAISS says, without the name of its source file."""
    return str(error).rpartition("Error: ")[2].strip() or str(error)
