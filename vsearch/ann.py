"""FAISS, behind one seam: train, add, search, save, load.  Everything it holds can be made again from the store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch.errors import IndexCorrupt, RecipeError
from vsearch.recipe import Plan, SearchSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]


# Below this many vectors the threads of FAISS spend more time waiting for each other than training: on a busy
# machine 400 vectors took 3 s with two threads and 0.04 s with one.
SMALL_TRAINING = 50_000


@cache
def _faiss() -> Any:
    import faiss

    # By default a batch of under 250 queries at 512 dimensions does not use BLAS, also in the coarse quantiser.
    faiss.cvar.distance_compute_blas_threshold = 2000
    # A forked child that searches with more than one OpenMP thread hangs.
    os.register_at_fork(after_in_child=lambda: faiss.omp_set_num_threads(1))
    return faiss


@dataclass(frozen=True, slots=True)
class AnnIndex:
    """A FAISS index over the vectors with ids below ``upto``.

    The watermark travels with the object: an older index read with a newer watermark would miss pictures.
    """

    index: Any
    upto: int
    name: str

    def search(self, xq: Matrix, k: int, settings: SearchSettings, live: NDArray[np.uint8]) -> Ids:
        """Candidates: (nq, k) ids of live vectors, best first by approximate score, -1 where there are fewer.

        live: bitmap of the ids that may be returned.  Settings go with the call; the index is never changed.
        """
        faiss = _faiss()
        selector = faiss.IDSelectorBitmap(live)
        params = faiss.SearchParametersIVF(nprobe=settings.nprobe, sel=selector)
        _, ids = self.index.search(np.ascontiguousarray(xq), k, params=params)
        found: Ids = ids
        return found

    def save(self, put: Callable[[bytes], None]) -> None:
        """Write through our own checked writer: FAISS's loses the end of a file on a full disk without a word."""
        faiss = _faiss()
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
            faiss.write_index(self.index, faiss.PyCallbackIOWriter(write))
        except RuntimeError:
            if not failed:
                raise
        if failed:
            raise failed[0]


def build(
    plan: Plan,
    dim: int,
    upto: int,
    sample: Callable[[int, int], Matrix],
    blocks: Iterable[tuple[Ids, Matrix]],
) -> AnnIndex:
    """Train on a random sample and add everything.

    sample(n, seed): n random vectors (n, dim).  blocks: (ids, vectors) of all live rows.
    Raises RecipeError when FAISS does not understand the plan.
    """
    faiss = _faiss()
    build_settings = plan.recipe.build
    assert build_settings is not None
    try:
        index = faiss.index_factory(dim, plan.factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise RecipeError(f"FAISS cannot make {plan.factory!r} with {dim} dimensions: {_reason(error)}") from error
    assert index.metric_type == faiss.METRIC_INNER_PRODUCT
    _configure(index, build_settings.seed)
    with _threads(faiss, 1 if plan.train < SMALL_TRAINING else faiss.omp_get_max_threads()):
        index.train(sample(plan.train, build_settings.seed))
    for ids, vectors in blocks:
        index.add_with_ids(np.ascontiguousarray(vectors), ids)
    return AnnIndex(index, upto, "")


@contextmanager
def _threads(faiss: Any, count: int) -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _configure(index: Any, seed: int) -> None:
    clusterings = [index.cp]
    if hasattr(index, "pq"):
        clusterings.append(index.pq.cp)
        # Reorders the codes for a filter by Hamming distance that is not used here, and takes half a minute for it.
        index.do_polysemous_training = False
    # FAISS writes advice about sample sizes to stderr; the plan has settled those.
    for cp in clusterings:
        cp.min_points_per_centroid = 1
        cp.seed = seed & 0x7FFFFFFF


def load(path: Path, upto: int, name: str) -> AnnIndex:
    """Read an index whose checksum has been compared.  Raises IndexCorrupt, FileNotFoundError."""
    faiss = _faiss()
    try:
        with open(path, "rb") as file:
            reader = faiss.PyCallbackIOReader(file.read)
            return AnnIndex(faiss.read_index(reader), upto, name)
    except RuntimeError as error:
        raise IndexCorrupt(f"{path}: FAISS cannot read it ({_reason(error)}); build it again: vsearch build") from error


def _reason(error: RuntimeError) -> str:
    return str(error).rpartition("Error: ")[2].strip() or str(error)
