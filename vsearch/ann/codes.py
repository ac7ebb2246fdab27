"""What the codes in inverted lists stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch.ann.library import faiss

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]


def decoded(lists: Any, cell: int, row: int) -> Matrix | None:
    """The vector (dim,) float32 that the code in a row of a cell stands for; None for kinds that cannot tell.

    lists: an index with inverted lists, behind its linear map.
    """
    library = faiss()
    if isinstance(lists, library.IndexIVFPQFastScan):
        return _of_fast_scan(lists, cell, row)
    out = np.zeros(lists.d, np.float32)
    try:
        lists.reconstruct_from_offset(cell, row, library.swig_ptr(out))
    except RuntimeError:
        return None
    return out


def _of_fast_scan(lists: Any, cell: int, row: int) -> Matrix:
    """A product code, taken out of its block.

    FAISS follows a pointer that is null in an index read from a file or made from another kind: the process would end.
    """
    library = faiss()
    packer = lists.get_CodePacker()
    blocks = -(-lists.invlists.list_size(cell) // packer.nvec)
    packed = library.rev_swig_ptr(lists.invlists.get_codes(cell), blocks * packer.block_size)
    code = packer.unpack_1(packed.reshape(blocks, packer.block_size), row)
    vector: Matrix = lists.pq.decode(code[None])[0]
    if lists.by_residual:
        vector = vector + library.downcast_index(lists.quantizer).reconstruct(cell)
    return vector
