"""What a table says of a picture, joined with what its camera says."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from vsearch.bounds import valid
from vsearch.sources.cells import storable
from vsearch.types import Cell, Details

# Columns that vsearch fills itself: a table's own column of such a name gets an underscore behind it.
RESERVED = frozenset(
    "id added folder name ext width height size caption tags tag_confidences utc_offset".split()
)  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def with_columns(details: Details, columns: Mapping[str, Cell] | None) -> Details:
    """Details with the columns of a table in place of those that they had.

    What a table says of time, place, camera, lens and sensitivity, where it can be read as such, goes before what
    the camera wrote; where it cannot, it stays a column of its own under the name with an underscore behind it.
    What cannot be stored, in a value or a name, is brought into bounds: see ``storable``.
    """
    if columns is None:
        return details
    known: dict[str, Any] = {}
    others: dict[str, Cell] = {}
    for given, cell in columns.items():
        name, value = valid(given).strip().lower() or "unnamed", storable(cell)
        if value is None or value == "":
            continue
        read = _READ.get(name)
        meant = read(value) if read is not None else None
        if meant is not None:
            known[name] = meant
        else:
            others[_free(name, others)] = value
    return replace(details, **known, columns=others)


def _free(name: str, taken: Mapping[str, Cell]) -> str:
    while name in RESERVED or name in _READ or name in taken:
        name += "_"
    return name


def _number(least: float, most: float) -> Callable[[Cell], float | None]:
    def read(value: Cell) -> float | None:
        try:
            number = float(value or 0)
        except (ValueError, OverflowError):
            return None
        return number if math.isfinite(number) and least <= number <= most else None

    return read


def _taken(value: Cell) -> int | None:
    """ISO 8601; the hands of the clock count, whatever zone is named."""
    try:
        told = datetime.fromisoformat(str(value)).replace(tzinfo=UTC)
    except ValueError:
        return None
    return (told - _EPOCH) // timedelta(microseconds=1)


def _iso(value: Cell) -> int | None:
    number = _number(1, 2**31 - 1)(value)
    return None if number is None else int(number)


_READ: dict[str, Callable[[Cell], Any]] = {
    "taken": _taken,
    "latitude": _number(-90, 90),
    "longitude": _number(-180, 180),
    "camera": str,
    "lens": str,
    "iso": _iso,
}
