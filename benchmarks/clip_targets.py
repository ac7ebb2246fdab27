"""What was wanted of a CLIP's costs before it was measured, beside what was reached."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

Figures = dict[str, Any]
SIGLIP2 = "ViT-B-32-SigLIP2-256"


class Target(NamedTuple):
    """A bound on a figure.  path: its names from part to column.  of: the path of what it is to be divided by."""

    what: str
    sign: str  # "≤" or "≥"
    bound: float
    path: tuple[str, str, str]
    of: tuple[str, str, str] | None = None


_MINI = ("cold sentence", "mini", "CPU s")
TARGETS = (
    Target("cold sentence, ViT-B/32: CPU / mini's", "≤", 2.0, ("cold sentence", "ViT-B-32", "CPU s"), _MINI),
    Target("cold sentence, ViT-B/32: MB", "≤", 700, ("cold sentence", "ViT-B-32", "MB")),
    Target("cold sentence, SigLIP2: CPU / mini's", "≤", 2.5, ("cold sentence", SIGLIP2, "CPU s"), _MINI),
    Target("cold sentence, SigLIP2: MB", "≤", 900, ("cold sentence", SIGLIP2, "MB")),
    Target("cold sentence, ViT-L/14: CPU / mini's", "≤", 3.0, ("cold sentence", "ViT-L-14", "CPU s"), _MINI),
    Target("warm sentence, ViT-B/32: CPU ms", "≤", 12, ("warm", "ViT-B-32", "sentence ms")),
    Target(
        "warm sentence, ViT-B/32: open_clip's CPU / ours",
        "≥",
        4,
        ("warm", "ViT-B-32", "sentence, open_clip / vsearch"),
    ),
    Target("cold query --image, ViT-B/32: CPU s", "≤", 5.5, ("cold picture", "ViT-B-32", "CPU s")),
    Target("index, one new picture, ViT-B/32: CPU s", "≤", 5.5, ("one new picture", "ViT-B-32", "CPU s")),
    Target("index, ViT-B/32: MB", "≤", 1600, ("index", "ViT-B-32", "MB")),
)
_HOLDS: dict[str, Callable[[float, float], bool]] = {"≤": operator.le, "≥": operator.ge}


def beside_targets(figures: Figures) -> dict[str, Figures]:
    """Of each target whose figure was measured: what was wanted, what was reached, and whether that is enough."""
    models = figures["warm"]
    everywhere = [
        Target(f"64 texts, {model}: open_clip's CPU / ours", "≥", 1, ("warm", model, "64 texts, open_clip / vsearch"))
        for model in models
    ] + [
        Target(f"least cosine, {kind}, {model}", "≥", 0.9999, ("cosines", model, kind))
        for model in models
        for kind in ("texts", "pictures")
    ]
    rows: dict[str, Figures] = {}
    for target in (*TARGETS, *everywhere):
        value, divisor = _at(figures, target.path), 1.0 if target.of is None else _at(figures, target.of)
        if value is not None and divisor:
            reached = value / divisor
            held = _HOLDS[target.sign](reached, target.bound)
            rows[target.what] = {
                "wanted": f"{target.sign} {target.bound:,.4g}",
                "reached": reached,
                "held": "yes" if held else "no",
            }
    return rows


def _at(figures: Figures, path: tuple[str, str, str]) -> float | None:
    part, thing, column = path
    value: float | None = figures.get(part, {}).get(thing, {}).get(column)
    return value
