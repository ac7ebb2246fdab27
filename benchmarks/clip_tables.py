"""Figures of the `clip` suite as tables: all of them, and those that the project's pages show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tables import table

Figures = dict[str, Any]
NAMES = {
    "ViT-B-32": "ViT-B/32",
    "ViT-B-32-SigLIP2-256": "SigLIP2 ViT-B/32, 256 pixels",
    "ViT-L-14": "ViT-L/14",
    "RN50": "RN50",
    "mini": "`mini`",
    "rclip": "rclip 3.3, ViT-B/32, 256 pixels",
}


def readme_table(figures: Figures) -> list[str]:
    """A row for each encoder: what its commands cost from a cold start, and a sentence in a warm process."""
    rows = {
        NAMES[model]: {
            "sentence, CPU s": f"{sentence['CPU s']:.2f}",
            "MB": f"{sentence['MB']:,.0f}",
            "picture, CPU s": f"{figures['cold picture'][model]['CPU s']:.2f}",
            "one new picture, CPU s": _shown(figures["one new picture"], model, "CPU s", ".2f"),
            "warm sentence, CPU ms": _shown(figures["warm"], model, "sentence ms", ".1f"),
            "by open_clip, CPU ms": _shown(figures["warm"], model, "sentence, open_clip ms", ".1f"),
        }
        for model, sentence in figures["cold sentence"].items()
    }
    return table(rows, what="encoder")


def encoder_tables(figures: Figures) -> list[str]:
    """What was wanted and reached; texts in a warm process, indexing, the server, stages, cosines."""
    parts = {
        "targets": ("What was wanted, and what was reached:", lambda rows: table(rows)),
        "warm": (
            "CPU milliseconds of texts in one process on one core, beside open_clip:",
            lambda rows: table(_named(rows), what="encoder"),
        ),
        "index": (
            "Indexing with a model that is used for the first time; MB of the largest process, and of all together:",
            lambda rows: table(_named(rows), what="encoder"),
        ),
        "served": (
            "`vsearch serve`, texts that it has not seen yet, clients on the same cores:",
            lambda rows: table(_served(rows), what="encoder, clients"),
        ),
        "stages": (
            "Where the CPU time of a cold sentence goes:",
            lambda rows: table(_named(rows), what="encoder"),
        ),
        "cosines": ("Least cosine to open_clip's vectors:", lambda rows: table(_cosines(rows), what="encoder")),
    }
    return [
        line for part, (title, rows) in parts.items() if part in figures for line in (title, "", *rows(figures[part]))
    ]


def _shown(rows: Mapping[str, Figures], model: str, column: str, form: str) -> str:
    """A figure, empty where the model has none."""
    return format(rows[model][column], form) if model in rows else ""


def _named(rows: Mapping[str, Figures]) -> dict[str, Figures]:
    return {
        NAMES[model]: {name: _three_digits(value) for name, value in figures.items()} for model, figures in rows.items()
    }


def _three_digits(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _served(rows: Mapping[str, Figures]) -> dict[str, Figures]:
    out: dict[str, Figures] = {}
    for label, figures in rows.items():
        model, clients = label.split(", ")
        count = clients.split()[0]
        out[f"{NAMES[model]}, {count}"] = {
            "requests/s": f"{figures['per second']:.1f}",
            "p50 ms": f"{figures['p50 ms']:,.0f}",
            "p99 ms": f"{figures['p99 ms']:,.0f}",
            "refused": figures["refused"],
        }
    return out


def _cosines(rows: Mapping[str, Figures]) -> dict[str, Figures]:
    return {
        NAMES[model]: {name: f"{value:.6f}" if isinstance(value, float) else value for name, value in figures.items()}
        for model, figures in rows.items()
    }
