"""Numbers on the command line: amounts with units (``2G``, ``20ms``), numbers in a range, times that are left."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Any

import click

_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([a-zA-Z]*)")


class Amount(click.ParamType[float]):
    """A number above zero with one of a few units."""

    def __init__(self, name: str, units: dict[str, float], example: str, whole: bool) -> None:
        self.name = name
        self._units = units
        self._example = example
        self._whole = whole

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The amount in the base unit."""
        told = _AMOUNT.fullmatch(str(value).strip())
        unit = self._units.get(told[2].lower()) if told else None
        amount = float(told[1]) * unit if told and unit else 0.0
        if not 0 < amount < math.inf:
            self.fail(f"{value!r} is no {self.name}; write it as {self._example}", param, ctx)
        return int(amount) if self._whole else amount


class Within(click.FloatRange):
    """A number in a range; click's own lets pass what is no number, which is neither below nor above."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


_BYTES = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", 1):
    _BYTES |= dict.fromkeys((_letter, f"{_letter}b", f"{_letter}ib"), 1024**_power)

SIZE = Amount("size", {unit: float(size) for unit, size in _BYTES.items()}, "2G or 500M", True)
DURATION = Amount("time", {"s": 1.0, "ms": 1e-3, "us": 1e-6, "min": 60.0}, "20ms or 0.1s", False)


def time_left(seconds: float) -> str:
    """Hours, minutes and seconds, as ``0:06:40``; at most what ``timedelta`` holds: servers tell sizes of any kind."""
    most = timedelta.max // timedelta(seconds=1)
    return str(timedelta(seconds=round(min(max(seconds, 0.0), most))))
