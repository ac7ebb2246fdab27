"""Texts of a table as the values that they stand for, a column at a time."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from datetime import time as clock_time
from decimal import Decimal
from typing import Any

from vsearch.bounds import valid, whole
from vsearch.types import Cell

# No leading zeros: what has them is a number by looks only (a postal code, an article number).
_WHOLE = re.compile(r"[+-]?(0|[1-9]\d{0,17})")
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d{0,17})?(\.\d*)?([eE][+-]?\d{1,3})?")
_TRUTH = {"true": True, "false": False}


def typed(texts: Sequence[str | None]) -> list[Cell]:
    """Whole numbers, numbers or truth values, where all texts of a column are such; empty ones are None."""
    kept = [text if text is not None and text.strip() else None for text in texts]
    read = _reader([text.strip() for text in kept if text is not None])
    return [None if text is None else read(text.strip()) if read else text for text in kept]


def _reader(texts: list[str]) -> Callable[[str], Cell] | None:
    if not texts:
        return None
    if all(_WHOLE.fullmatch(text) for text in texts):
        return int
    if all(_NUMBER.fullmatch(text) and any(map(str.isdigit, text)) for text in texts):
        return float
    if all(text.lower() in _TRUTH for text in texts):
        return lambda text: _TRUTH[text.lower()]
    return None


def storable(value: Any) -> Cell:
    """A value of any table library as one that can be stored: as ``plain`` has it, and what cannot be stored by a rule.

    Whole numbers beyond 64 bits are kept as text; what is no letter (a lone surrogate) is U+FFFD.
    """
    cell = plain(value)
    if isinstance(cell, str):
        return valid(cell)
    return whole(cell) if type(cell) is int else cell


def plain(value: Any) -> Cell:
    """A value of any table library as one of Python's own: lists and objects as JSON, times in ISO 8601.

    Decimals are numbers: whole ones where they have no digits behind the point, else the nearest float.  Durations are
    seconds.  NaN, which tables have where nothing is known, is None.  Infinity stays.
    """
    value = value.tolist() if hasattr(value, "tolist") else value  # of numpy
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Decimal):
        return _number_of(value)
    if isinstance(value, date | clock_time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return _json(value) if isinstance(value, (list, dict)) else str(value)


def _number_of(value: Decimal) -> Cell:
    if value.is_nan():
        return None
    whole_number = value.is_finite() and int(value.as_tuple().exponent) >= 0
    return int(value) if whole_number else float(value)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=plain)
    except (TypeError, ValueError):  # keys that JSON has not, or a list that holds itself
        return str(value)
