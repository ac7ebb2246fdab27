"""Principal components, with the signs settled so that the same data gives the same picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]


def principal(x: Matrix, n: int) -> Matrix:
    """Coordinates of rows along the n directions in which they vary most (Pearson 1901).

    x: (rows, dim) float32.  Returns (rows, n) float32 around 0, the widest direction first; 0 for directions that
    there are not.  Of each direction the sign is that with which its largest coefficient is positive.
    Cost: rows * dim * the smaller of the two.
    """
    centred = (x - x.mean(axis=0)).astype(np.float64)
    if len(x) < x.shape[1]:  # the products of the rows have the same spectrum as the covariance, and are fewer
        _, coefficients = np.linalg.eigh(centred @ centred.T)  # ascending
        directions = centred.T @ coefficients[:, ::-1][:, :n]
        directions /= np.maximum(np.linalg.norm(directions, axis=0), 1e-12)
    else:
        directions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :n]
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=0)[None], 0)
    out = np.zeros((len(x), n), np.float32)
    out[:, : directions.shape[1]] = centred @ (directions * np.where(largest < 0, -1.0, 1.0))
    return out
