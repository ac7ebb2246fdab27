"""Groups as discs that do not overlap, placed by PCA; their members spread evenly inside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vsearch.projection.pca import principal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

ROUNDS = 400
MARGIN = 1.15  # room around a disc, as a share of its radius


def lay_out(x: Matrix, group: NDArray[np.int64], centres: Matrix) -> Matrix:
    """A place on the plane for each row, in [-1, 1] both ways.

    x: (n, dim) float32.  group: (n,) the number of each row's group.  centres: (groups, dim) float32.
    Groups keep the directions that PCA gives them and are moved apart until their discs are free; the area of a disc
    goes with its number of members.  A member keeps its direction from the middle in the PCA of its group, and the
    order of its distance: distances themselves are evened out, so that dots do not lie on one another.
    """
    sizes = np.bincount(group, minlength=len(centres))
    radii = np.sqrt(sizes / max(1, len(x)))
    middles = _apart(_spread(principal(centres, 2)), radii * MARGIN)
    out = np.zeros((len(x), 2), np.float32)
    for number in np.flatnonzero(sizes):
        members = np.flatnonzero(group == number)
        out[members] = middles[number] + radii[number] * _disc(principal(x[members], 2))
    return _fitted(out)


def _spread(places: Matrix) -> NDArray[np.float64]:
    wide = np.abs(places).max() if places.size else 0.0
    return places.astype(np.float64) / wide if wide > 0 else places.astype(np.float64)


def _apart(places: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Push discs that overlap away from each other, half of the overlap each, until none does."""
    # Discs in the very same place get different directions in which to part.
    angles = np.arange(len(places)) * 2.399963
    places = places + 1e-6 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for _ in range(ROUNDS):
        between = places[:, None] - places[None]
        away = np.linalg.norm(between, axis=2)
        np.fill_diagonal(away, np.inf)
        overlap = np.maximum(0.0, radii[:, None] + radii[None] - away)
        if not overlap.any():
            break
        places = places + (between / away[:, :, None] * overlap[:, :, None] / 2).sum(axis=1)
    return places


def _disc(places: Matrix) -> Matrix:
    """Directions kept, distances replaced by those of an even disc of radius 1, in their order."""
    away = np.linalg.norm(places, axis=1)
    rank = np.empty(len(places), np.float32)
    rank[np.argsort(away, kind="stable")] = np.arange(len(places), dtype=np.float32)
    even = np.sqrt(rank / max(1, len(places)))
    return np.asarray(places / np.maximum(away, 1e-12)[:, None] * even[:, None], np.float32)


def _fitted(places: Matrix) -> Matrix:
    low, high = places.min(axis=0), places.max(axis=0)
    half = max(float((high - low).max()) / 2, 1e-12)
    return np.asarray((places - (low + high) / 2) / half, np.float32)
