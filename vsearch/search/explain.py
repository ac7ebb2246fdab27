"""Why a picture is where it is in the results of a query, or is not among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch.ann import AnnIndex
from vsearch.ann.codes import decoded
from vsearch.ann.library import faiss
from vsearch.errors import QueryError
from vsearch.store import Snapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]


TIE = 1e-6


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a query sees one picture.  None: does not apply to this index, or cannot be told of its kind.

    score: cosine with the stored vector.  exact_rank: its place, from 1, when everything is compared; None for a
    picture that is left out of results (gone from its folder).  ann_rank: its place among the ``k`` results of a
    search with the index's own settings; None when it is not among them.
    indexed: whether the FAISS index holds it; if not, it is in the tail, which is searched exactly.
    cell: the inverted list that holds it.  cell_rank: the place of that list, from 1, in the order in which this
    query visits lists.  probed: whether a search visits it, that is cell_rank <= nprobe.
    code_error: |x - x'| / |x| for its vector x, as it is coded, and what the code stands for, x'.
    code_score: what the score would be if the vector were x'; a search takes the k * rescore best by it, and only
    then compares stored vectors.
    """

    id: int
    k: int
    score: float
    exact_rank: int | None
    ann_rank: int | None
    indexed: bool
    cell: int | None = None
    cell_rank: int | None = None
    nprobe: int | None = None
    probed: bool | None = None
    code_error: float | None = None
    code_score: float | None = None
    rescore: int | None = None


@dataclass(frozen=True, slots=True)
class _Cell:
    number: int
    row: int  # in its list


def explain(snapshot: Snapshot, xq: Matrix, id: int, found: Ids, ann: AnnIndex | None, settings: Any) -> Explanation:
    """Explain one picture for one query.

    xq: (dim,) float32, unit length.  found: ids of the results of a search, best first.  settings: those of the
    search of ``ann``.  Raises QueryError for an unknown id.
    """
    if snapshot.record(id) is None:
        raise QueryError(f"no picture has the id {id}; ids are shown by: vsearch query --json")
    vector: Matrix = snapshot.vectors(np.array([id], np.int64))[0]
    score = float(vector @ xq)
    places = np.flatnonzero(found == id)
    indexed = ann is not None and id < ann.upto
    return Explanation(
        id,
        len(found),
        score,
        _exact_rank(snapshot, xq, id),
        int(places[0]) + 1 if len(places) else None,
        indexed,
        **(_coded(ann, vector, xq, id, settings) if ann is not None and indexed else {}),
    )


def _exact_rank(snapshot: Snapshot, xq: Matrix, id: int) -> int | None:
    """One pass over all rows; of equal scores the lower id comes first, as in results."""
    if not snapshot.is_live(np.array([id]))[0]:
        return None
    own = snapshot.vectors(np.array([id]))[0] @ xq
    better = 0
    for ids, rows in snapshot.blocks():
        scores = rows.astype(np.float32) @ xq
        # A product of many rows may round otherwise than that of one: within a rounding error scores are equal.
        ahead = np.where(np.abs(scores - own) < TIE, ids < id, scores > own)
        better += int((ahead & snapshot.is_live(ids) & (ids != id)).sum())
    return better + 1


def _coded(ann: AnnIndex, vector: Matrix, xq: Matrix, id: int, settings: Any) -> dict[str, Any]:
    """What the FAISS index knows of the picture and of the query's way to it."""
    told: dict[str, Any] = {"nprobe": None, "rescore": getattr(settings, "rescore", None)}
    lists = ann.core if isinstance(ann.core, faiss().IndexIVF) else None
    query = xq if ann.queries is None else (xq[None] @ ann.queries.T)[0]
    cell = _find(lists, id) if lists is not None else None
    if lists is None or cell is None:
        return told
    order = lists.quantizer.search(np.ascontiguousarray(query[None]), lists.nlist)[1][0]
    place = int(np.flatnonzero(order == cell.number)[0]) + 1
    nprobe = min(settings.nprobe, lists.nlist)
    told |= {"cell": cell.number, "cell_rank": place, "nprobe": nprobe, "probed": place <= nprobe}
    coded = decoded(lists, cell.number, cell.row)
    if coded is not None:
        true = _mapped(ann.index, vector)
        told["code_error"] = float(np.linalg.norm(true - coded) / np.linalg.norm(true))
        told["code_score"] = float(vector @ xq) + float((coded - true) @ query)
    return told


def _find(lists: Any, id: int) -> _Cell | None:
    """Where in the lists an id is: they are looked through one by one."""
    library = faiss()
    held = lists.invlists
    for number in range(lists.nlist):
        size = held.list_size(number)
        if not size:
            continue
        ids = library.rev_swig_ptr(held.get_ids(number), size)
        rows = np.flatnonzero(ids == id)
        if len(rows):
            return _Cell(number, int(rows[0]))
    return None


def _mapped(index: Any, vector: Matrix) -> Matrix:
    """A vector as it is behind the linear maps of an index."""
    library = faiss()
    rows = np.ascontiguousarray(vector[None])
    if isinstance(index, library.IndexPreTransform):
        for at in range(index.chain.size()):
            rows = library.downcast_VectorTransform(index.chain.at(at)).apply(rows)
    mapped: Matrix = rows[0]
    return mapped
