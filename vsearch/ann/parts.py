"""FAISS objects put together and taken apart: factory, coarse quantiser, fast-scan form, the linear map in front."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vsearch.ann.library import faiss, reason
from vsearch.ann.transform import query_map
from vsearch.errors import IndexCorrupt, RecipeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

Rotation = Literal["none", "random", "balanced"]
_FRONT = re.compile(r"(?P<front>OPQ[0-9]+|RR[0-9]*),(?P<rest>IVF.*)")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a factory asks for.  core: the empty index behind the rotation.  pieces: parts of a product code, or 0."""

    core: Any
    rotation: Rotation
    pieces: int

    @property
    def lists(self) -> bool:
        """Whether it has inverted lists."""
        return isinstance(self.core, faiss().IndexIVF)


def construct(factory: str, dim: int) -> Parts:
    """What FAISS makes of a factory, for the inner product.  Raises RecipeError.

    A rotation in front is made here, not by FAISS: it has to fit the residuals, and FAISS knows only whole vectors.
    """
    library = faiss()
    told = _FRONT.fullmatch(factory)
    front, rest = (told["front"], told["rest"]) if told else (None, factory)
    try:
        core = library.index_factory(dim, rest, library.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise RecipeError(f"FAISS cannot make {factory!r} with {dim} dimensions: {reason(error)}") from error
    if not isinstance(core, (library.IndexIVF, library.IndexIDMap)):
        raise RecipeError(
            f"factory {factory!r}: an index begins with IVF{{nlist}}, after OPQ{{m}} or RR, or with IDMap"
        )
    if core.metric_type != library.METRIC_INNER_PRODUCT:
        raise RecipeError(f"FAISS makes {factory!r} for another metric than the inner product")
    without_polysemous(core)
    pieces = int(core.pq.M) if hasattr(core, "pq") else 0
    rotation: Rotation = "none" if front is None else "random" if front.startswith("RR") or not pieces else "balanced"
    return Parts(core, rotation, pieces)


def check_kind(index: Any, path: Path, dim: int) -> None:
    """Refuse an index of a kind that ``construct`` does not make, or of another width; dim 0 for any.

    Raises IndexCorrupt.
    """
    library = faiss()
    core = index
    if isinstance(index, library.IndexPreTransform):
        linear = library.downcast_VectorTransform(index.chain.at(0)) if index.chain.size() == 1 else None
        if not isinstance(linear, library.LinearTransform) or linear.d_in != linear.d_out:
            raise IndexCorrupt(f"{path}: a FAISS index behind a transform that vsearch does not make")
        core = library.downcast_index(index.index)
    if isinstance(core, library.IndexIVF):
        known = isinstance(library.downcast_index(core.quantizer), library.IndexFlat)
    else:
        known = isinstance(core, library.IndexIDMap)
    if not known or core.metric_type != library.METRIC_INNER_PRODUCT:
        raise IndexCorrupt(f"{path}: a FAISS index of a kind that vsearch does not make")
    if index.d != core.d or dim not in (0, core.d):
        raise IndexCorrupt(f"{path}: a FAISS index of {core.d} dimensions, not of {dim}")


def growing(core: Any) -> Any:
    """The same kind of index in a form that takes vectors with their cells told: fast-scan forms do not.

    What ``core`` knows (quantiser, code books) is copied; its lists are not.
    """
    library = faiss()
    quantiser = flat_quantiser(core)
    args = (quantiser, core.d, core.nlist)
    if isinstance(core, library.IndexIVFPQFastScan):
        fresh = library.IndexIVFPQ(*args, core.pq.M, core.pq.nbits, core.metric_type)
        fresh.pq, fresh.by_residual = core.pq, core.by_residual
        without_polysemous(fresh)
    elif isinstance(core, library.IndexIVFRaBitQFastScan):
        fresh = library.IndexIVFRaBitQ(*args, core.metric_type)
        fresh.by_residual = core.by_residual
    else:
        raise TypeError(f"{type(core).__name__} takes vectors as it is")
    fresh.is_trained = core.is_trained
    _own(fresh, quantiser)
    return fresh


def without_polysemous(core: Any) -> None:
    """Spare the reordering of codes for a filter by Hamming distance that is not used here, and takes minutes."""
    if hasattr(core, "do_polysemous_training"):
        core.do_polysemous_training = False


def needs_growing(core: Any) -> bool:
    """Whether a kind has a fast-scan form, which cannot be told the cells of vectors."""
    library = faiss()
    return isinstance(core, (library.IndexIVFPQFastScan, library.IndexIVFRaBitQFastScan))


def scanning(grown: Any) -> Any:
    """The fast-scan form of an index in its growing form."""
    library = faiss()
    kind = library.IndexIVFPQFastScan if isinstance(grown, library.IndexIVFPQ) else library.IndexIVFRaBitQFastScan
    fresh = kind(grown)
    # It points at the quantiser of the other; each needs its own, since each deletes its own.
    quantiser = flat_quantiser(grown)
    fresh.quantizer = quantiser
    _own(fresh, quantiser)
    return fresh


def flat_quantiser(core: Any) -> Any:
    """A flat coarse quantiser by inner product over the centroids of another index."""
    library = faiss()
    old = library.downcast_index(core.quantizer)
    fresh = library.IndexFlatIP(core.d)
    if old.ntotal:
        fresh.add(old.reconstruct_n(0, old.ntotal))
    return fresh


def _own(core: Any, quantiser: Any) -> None:
    # Each object must have exactly one owner: the index deletes its quantiser, so Python must not.
    quantiser.this.disown()
    core.own_fields = True


def code_bytes(factory: str, dim: int) -> tuple[int, int]:
    """Bytes of each vector's code, id and links, and bytes of the matrix in front.  Raises RecipeError."""
    made = construct(factory, dim)
    inner = faiss().downcast_index(made.core.index) if not made.lists else made.core
    links = 2 * 4 * inner.hnsw.cum_nneighbor_per_level.at(1) // 2 if hasattr(inner, "hnsw") else 0
    each = int(inner.code_size if made.lists else inner.storage.sa_code_size()) + 8 + links
    return each, dim * dim * 4 if made.rotation != "none" else 0


def in_front(matrix: Matrix | None, core: Any) -> Any:
    """An index that multiplies what is added with a matrix (dim, dim).  It takes ``core`` over."""
    if matrix is None:
        return core
    library = faiss()
    linear = library.LinearTransform(core.d, core.d, False)
    library.copy_array_to_vector(np.ascontiguousarray(matrix, np.float32).ravel(), linear.A)
    linear.is_trained = True
    whole = library.IndexPreTransform(core)
    whole.prepend_transform(linear)
    # Each part must have exactly one owner: the whole.
    core.this.disown()
    linear.this.disown()
    whole.own_fields = True
    return whole


def apart(index: Any) -> tuple[Matrix | None, Any]:
    """The matrix in front (dim, dim), None for none, and the index behind it."""
    library = faiss()
    if not isinstance(index, library.IndexPreTransform):
        return None, index
    linear = library.downcast_VectorTransform(index.chain.at(0))
    matrix: Matrix = library.vector_to_array(linear.A).reshape(linear.d_out, linear.d_in)
    return matrix, library.downcast_index(index.index)


def centroids(core: Any, matrix: Matrix | None) -> Matrix:
    """The centroids of an index's cells in the space of the vectors: (nlist, dim)."""
    quantiser = faiss().downcast_index(core.quantizer)
    told: Matrix = quantiser.reconstruct_n(0, quantiser.ntotal)
    return told if matrix is None else told @ query_map(matrix)
