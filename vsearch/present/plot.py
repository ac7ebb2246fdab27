"""Curves of recall over the number of results, as a picture file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from vsearch.errors import VsearchError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST = 100  # results on the axis


def plot_recall(ranks: Mapping[str, NDArray[np.int64]], path: str | os.PathLike[str]) -> None:
    """Draw, for each name, the share of queries whose right answer is among the first 1 to 100 results.

    ranks: name to (n,) ranks that count from 1.  path: a name that ends in .png, .svg or .pdf.
    Raises VsearchError when matplotlib is not there or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise VsearchError("a plot needs matplotlib; install it with: pip install 'vsearch-engine[plot]'") from error
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, found in ranks.items():
        axes.step(
            range(1, MOST + 1), [float((found <= k).mean()) for k in range(1, MOST + 1)], where="post", label=name
        )
    axes.set(xscale="log", xlim=(1, MOST), ylim=(0, 1), xlabel="K results", ylabel="recall@K")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise VsearchError(f"the plot {os.fspath(path)!r} cannot be written: {error}") from error
