"""Cross-modal retrieval: where the right answer stands among all, over pairs of pictures and captions.

Pure functions over vectors.  The scores are computed in blocks of queries and never held all at once.  A tie counts
against the encoder: what scores as much as the right answer is taken to stand before it, so that an encoder that maps
everything to one point gets the recall of the last place and not that of the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vsearch.errors import DimensionMismatch, QueryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

KS = (1, 5, 10)
TIE = 1e-6  # scores nearer than this are taken for equal
BLOCK_SCORES = 1 << 24  # scores held at a time: 64 MB as float32


@dataclass(frozen=True)
class Ranks:
    """Where the right answers stand; ranks count from 1.

    of_texts: (nt,) for each caption as query, the rank of its own picture among all pictures.
    of_images: (ni,) for each picture as query, the rank of its best own caption among all captions but its other own
    ones; 0 for a picture without a caption, which is no query but still stands among the answers.
    owner: (nt,) the picture of each caption.
    """

    of_texts: Ids
    of_images: Ids
    owner: Ids

    @property
    def of_captioned(self) -> Ids:
        """Ranks of the pictures that are queries."""
        return self.of_images[self.of_images > 0]


def ranks(xt: Matrix, xi: Matrix, owner: Ids) -> Ranks:
    """Rank the right answers of captions among pictures, and of pictures among captions.

    xt: (nt, dim) float32 captions, xi: (ni, dim) float32 pictures, unit length.  owner: (nt,) row in ``xi`` of the
    picture that each caption tells of; a picture may have several.
    Raises DimensionMismatch for shapes that do not fit, QueryError when there is no caption.  Cost: nt x ni x dim,
    twice.
    """
    owner = np.asarray(owner, np.int64)
    _check(xt, xi, owner)
    own = np.einsum("td,td->t", xt, xi[owner], dtype=np.float32)
    best = np.full(len(xi), -np.inf, np.float32)
    np.maximum.at(best, owner, own)
    of_texts = np.empty(len(xt), np.int64)
    for part in _blocks(len(xt), len(xi)):
        scores = xt[part] @ xi.T
        scores[np.arange(len(scores)), owner[part]] = -np.inf
        of_texts[part] = 1 + (scores >= own[part, None] - TIE).sum(axis=1)
    of_images = np.empty(len(xi), np.int64)
    for part in _blocks(len(xi), len(xt)):
        foreign = owner[None] != np.arange(part.start, part.start + len(xi[part]))[:, None]
        of_images[part] = 1 + ((xi[part] @ xt.T >= best[part, None] - TIE) & foreign).sum(axis=1)
    of_images[np.isneginf(best)] = 0
    return Ranks(of_texts, of_images, owner)


def figures(found: Ranks, ks: Sequence[int] = KS) -> dict[str, float]:
    """The metrics of CLIP_benchmark, under its names, and median ranks.

    ``image_retrieval_recall@K``: the share of captions whose picture is among the first K pictures.
    ``text_retrieval_recall@K``: the share of pictures with any of their captions among the first K captions.
    ``image_retrieval_median_rank``, ``text_retrieval_median_rank``: count from 1.
    """
    of_images = found.of_captioned
    told = {f"image_retrieval_recall@{k}": float((found.of_texts <= k).mean()) for k in ks}
    told["image_retrieval_median_rank"] = float(np.median(found.of_texts))
    told |= {f"text_retrieval_recall@{k}": float((of_images <= k).mean()) for k in ks}
    told["text_retrieval_median_rank"] = float(np.median(of_images))
    return told


def recall_at(xt: Matrix, xi: Matrix, owner: Ids, ks: Sequence[int] = KS) -> dict[str, float]:
    """``figures`` of vectors in one call; the arguments are those of ``ranks``."""
    return figures(ranks(xt, xi, owner), ks)


def _check(xt: Matrix, xi: Matrix, owner: Ids) -> None:
    if xt.ndim != 2 or xi.ndim != 2 or xt.shape[1] != xi.shape[1] or owner.shape != (len(xt),):
        raise DimensionMismatch(
            f"captions of shape {xt.shape}, pictures {xi.shape} and owners {owner.shape} do not go together"
        )
    if not len(xt):
        raise QueryError("there is no caption to measure with; give pairs of pictures and captions")
    if owner.min() < 0 or owner.max() >= len(xi):
        raise DimensionMismatch(f"an owner of {owner.max()} among {len(xi)} pictures")
    if not (np.isfinite(xt).all() and np.isfinite(xi).all()):
        raise DimensionMismatch("a vector with NaN or infinite numbers cannot be ranked")


def _blocks(queries: int, answers: int) -> list[slice]:
    size = max(1, BLOCK_SCORES // max(1, answers))
    return [slice(first, min(first + size, queries)) for first in range(0, queries, size)]
