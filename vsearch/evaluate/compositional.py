"""Swapped captions: whether an encoder knows which colour, side or count belongs to which thing.

Each picture has a caption and a foil, a caption with the same words in another order that is false of it.  Where the
foil is the caption of another picture whose foil is this caption, the two are twins, and the picture can be asked for
as well as the caption (the text, image and group score of Winoground: Thrush et al. 2022, arXiv 2204.03162).
A tie is a wrong answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch.errors import QueryError, SourceError
from vsearch.evaluate.bootstrap import interval, resampled_means
from vsearch.evaluate.retrieval import TIE
from vsearch.evaluate.tables import beside, read_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

ALL = "all"


@dataclass(frozen=True)
class Swap:
    """One row of a table of swaps: a picture, what is true of it, what is false, and what was swapped."""

    path: bytes
    caption: str
    foil: str
    kind: str


def swap_scores(swaps: list[Swap], score: Callable[[Ids, list[str]], NDArray[np.floating]]) -> dict[str, Any]:
    """Score pictures against captions and foils, and report by kind and for ``all``.

    score: rows of pictures (n,) and n texts to n scores, higher where the text fits.
    Each kind has ``text`` (the share of pictures whose caption beats its foil) with ``interval_95``, and over twins
    ``image`` (the share of captions whose picture beats its twin) and ``group`` (all four comparisons of a pair of
    twins are right), None where there are no twins; ``pictures`` counts them.  Raises QueryError for no rows.
    """
    if not swaps:
        raise QueryError("there is nothing to compare; give a table with the columns filepath, title and foil")
    rows = np.arange(len(swaps))
    right = score(rows, [swap.caption for swap in swaps])
    wrong = score(rows, [swap.foil for swap in swaps])
    by_text = right > wrong + TIE
    twin = _twins(swaps)
    paired = np.flatnonzero(twin >= 0)
    by_image = np.zeros(len(swaps), bool)
    # A twin's foil is this caption: its picture with this caption is what `wrong` holds for it.
    by_image[paired] = right[paired] > wrong[twin[paired]] + TIE
    kinds = np.array([swap.kind for swap in swaps])
    chosen = {ALL: np.ones(len(swaps), bool), **{kind: kinds == kind for kind in sorted(set(kinds) - {""})}}
    group = np.where(twin >= 0, np.minimum(rows, twin), rows)
    return {name: _told(mask, by_text, by_image, twin, group) for name, mask in chosen.items()}


def _told(
    mask: NDArray[np.bool_], by_text: NDArray[np.bool_], by_image: NDArray[np.bool_], twin: Ids, group: Ids
) -> dict[str, Any]:
    paired = np.flatnonzero(mask & (twin >= 0))
    whole = by_text & by_image
    bounds = interval(resampled_means(by_text[mask, None], group[mask]))[0].tolist()
    return {
        "pictures": int(mask.sum()),
        "text": round(float(by_text[mask].mean()), 4),
        "interval_95": [round(bound, 4) for bound in bounds],
        "image": round(float(by_image[paired].mean()), 4) if len(paired) else None,
        "group": round(float((whole[paired] & whole[twin[paired]]).mean()), 4) if len(paired) else None,
    }


def _twins(swaps: list[Swap]) -> Ids:
    """Row of each picture's twin, -1 for none: the first whose caption is its foil and whose foil is its caption."""
    told: dict[tuple[str, str], int] = {}
    for row, swap in enumerate(swaps):
        told.setdefault((swap.caption, swap.foil), row)
    return np.array([told.get((swap.foil, swap.caption), -1) for swap in swaps], np.int64)


def cosine_score(xi: Matrix, encode: Callable[[list[str]], Matrix]) -> Callable[[Ids, list[str]], Matrix]:
    """The score of a joint embedding.  xi: (n, dim) unit vectors of the pictures.  encode: texts to (n, dim)."""

    def score(rows: Ids, texts: list[str]) -> Matrix:
        out: Matrix = np.einsum("nd,nd->n", xi[rows], encode(texts))
        return out

    return score


def read_swaps(path: str | os.PathLike[str]) -> list[Swap]:
    """Read a CSV or TSV table with the columns filepath, title, foil and, where there are kinds, kind.

    Relative paths are looked for beside the table.  Raises SourceError.
    """
    swaps = []
    for number, row in enumerate(read_rows(path, "title", "foil"), 1):
        name, caption, foil = row["filepath"], row["title"], row["foil"]
        if not name or not caption or not foil or caption == foil:
            raise SourceError(
                f"row {number} of {os.fspath(path)!r} needs a path, a caption, and a foil that differs from it"
            )
        swaps.append(Swap(beside(path, name), caption, foil, row.get("kind", "")))
    return swaps
