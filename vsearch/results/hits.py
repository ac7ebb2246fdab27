"""Results as a sequence that costs nothing until it is looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

from vsearch.types import Hit


class Hits(Sequence[Hit]):
    """Results, best first, as an immutable sequence; each ``Hit`` is put together when it is looked at, once.

    Equal to any list or tuple of the same hits.
    """

    __slots__ = ("_make", "_made")

    def __init__(self, count: int, make: Callable[[int], Hit]) -> None:
        """make: the hit at a place, from 0."""
        self._make = make
        self._made: list[Hit | None] = [None] * count

    @classmethod
    def of(cls, hits: Sequence[Hit]) -> Hits:
        """Hits that are there already."""
        return cls(len(hits), hits.__getitem__)

    def __len__(self) -> int:
        return len(self._made)

    @overload
    def __getitem__(self, at: int) -> Hit: ...

    @overload
    def __getitem__(self, at: slice) -> Hits: ...

    def __getitem__(self, at: int | slice) -> Hit | Hits:
        if isinstance(at, slice):
            places = range(len(self._made))[at]
            return Hits(len(places), lambda number: self[places[number]])
        place = range(len(self._made))[at]  # counts from the end and raises IndexError as lists do
        hit = self._made[place]
        if hit is None:
            hit = self._made[place] = self._make(place)
        return hit

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Hits | list | tuple):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Hits({list(self)!r})"

    def _repr_html_(self) -> str:
        from vsearch.results.notebook import as_html

        return as_html(self)
