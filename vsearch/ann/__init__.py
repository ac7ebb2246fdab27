"""FAISS, behind one seam: cells, transform, codes, add, search, save, load.

Everything that it holds can be made again from the store.
"""

from vsearch.ann.cells import Cells
from vsearch.ann.cells import train as train_cells
from vsearch.ann.gpu import has_gpu
from vsearch.ann.growing import Growing, trained
from vsearch.ann.opened import AnnIndex, Searchable, load
from vsearch.ann.parts import code_bytes
from vsearch.ann.transform import second_moment

__all__ = [
    "AnnIndex",
    "Cells",
    "Growing",
    "Searchable",
    "code_bytes",
    "has_gpu",
    "load",
    "second_moment",
    "train_cells",
    "trained",
]
