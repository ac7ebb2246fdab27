"""Draw what the `ann` suite measured: plot_ann.py TARGET.svg < points.json, in an environment with matplotlib."""

from __future__ import annotations

import json
import sys
from typing import Any

import matplotlib.pyplot as plt
from frontier import front

BATCHES = (1, 100)
LEAST = 0.6  # recall where the axis begins


def draw(points: list[dict[str, Any]], target: str) -> None:
    """A panel for each modality and batch size, a line for each library."""
    plt.rcParams.update({"svg.hashsalt": "ann", "svg.fonttype": "none"})  # the same picture for the same points
    figure, panels = plt.subplots(2, 2, figsize=(11, 8), sharex=True, constrained_layout=True)
    names = list(dict.fromkeys(point["peer"] for point in points))
    for row, modality in enumerate(("text", "image")):
        for panel, batch in zip(panels[row], BATCHES, strict=True):
            for name in names:
                mine = [p for p in points if (p["peer"], p["modality"]) == (name, modality)]
                best = [
                    at
                    for at in front([(p["recall@10"], p[f"queries_per_second_batch_{batch}"]) for p in mine])
                    if at[0] >= LEAST
                ]
                style = {"linewidth": 2.5, "zorder": 3} if name == "vsearch" else {"linewidth": 1.2}
                panel.plot(
                    *zip(*best, strict=True) if best else ((), ()), marker="o", markersize=3, label=name, **style
                )
            panel.set(title=f"{modality} queries, batch {batch}", yscale="log", xlim=(LEAST, 1.005))
            panel.set(xlabel="recall@10", ylabel="queries per CPU second, one thread")
            panel.grid(alpha=0.3, which="both")
    panels[0][0].legend(fontsize=8)
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    draw(json.load(sys.stdin), sys.argv[1])
