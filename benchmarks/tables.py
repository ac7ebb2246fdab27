"""Figures of several things as a Markdown table, a row for each thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def table(rows: Mapping[str, Mapping[str, Any]], names: Sequence[str] = (), what: str = "") -> list[str]:
    """Lines of a table and an empty one.

    rows: figures of each thing by their names.  names: which to show, those of the first unless told; one that a row
    lacks is left empty.  what: heading of the first column.
    """
    columns = list(names or next(iter(rows.values())))
    lines = [f"| {what} | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for label, told in rows.items():
        lines.append(f"| {label} | " + " | ".join(_shown(told.get(name)) for name in columns) + " |")
    return [*lines, ""]


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
