"""The one search path: ANN candidates and the exact tail, scored again from stored vectors, until there are k."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vsearch.ann import Searchable
from vsearch.exact import merge
from vsearch.recipe import Modality
from vsearch.search.passing import Passing
from vsearch.search.widening import search_passing
from vsearch.store import Snapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]
    Bitmap = NDArray[np.uint8]

# From this share of a collection on, scoring candidates again costs more than scoring everything.
MOST_CANDIDATES = 0.25
# Up to this many numbers, rows times dimensions, comparing all that a filter leaves is quicker than any index.
FEW = 1 << 20


def search(
    snapshot: Snapshot,
    xq: Matrix,
    k: int,
    modality: Modality,
    generation: Searchable | None = None,
    exclude: frozenset[int] = frozenset(),
    allowed: Bitmap | None = None,
) -> tuple[Matrix, Ids]:
    """The k nearest live pictures of one consistent moment.

    xq: (nq, dim) float32, unit length.  generation: any one of this space; what is newer than it is searched
    exactly, so age costs only time.  exclude: ids to leave out (query pictures, earlier pages).
    allowed: bitmap of the ids that a filter lets through.
    Returns scores (nq, k) float32, cosine in [-1, 1], highest first; ids (nq, k) int64, -1 where fewer exist.
    """
    passing = Passing(snapshot, exclude, allowed)
    if generation is None or (passing.narrowed and passing.count * xq.shape[1] <= FEW):
        return passing.exact(xq, k)
    ann, settings = generation.index, generation.recipe.search(modality)
    wanted = k * settings.rescore
    if wanted > max(MOST_CANDIDATES * len(ann), 10 * settings.rescore) or wanted > passing.count:
        return passing.exact(xq, k)
    found = search_passing(snapshot, ann, xq, k, settings, passing)
    if snapshot.head.next_id > ann.upto:
        found = merge(found, passing.exact(xq, k, ann.upto), k)
    if (found[1][:, : min(k, passing.count)] < 0).any():
        # The lists visited hold too few that pass: few enough that comparing all of them is the answer.
        return passing.exact(xq, k)
    return found
