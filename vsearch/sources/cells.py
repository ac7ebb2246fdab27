"""Texts of a table as the values that they stand for, a column at a time."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

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


def plain(value: Any) -> Cell:
    """A value of any table library as one that can be kept: lists and objects as JSON, times in ISO 8601."""
    value = value.item() if hasattr(value, "item") and not isinstance(value, (str, bytes)) else value
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (list, dict)) else str(value)
