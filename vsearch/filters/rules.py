"""What a function may give and cost at most, told from the longest values of its arguments: bytes and nanoseconds.

Measured on one core of 2024 with the worst texts that were found, and rounded up; tests compare the lengths with what
DuckDB gives, and the times with the CPU's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

# No number, time or interval has a longer text.
SCALAR = 80
# An element of a list has quotes, a comma and a pointer.
ELEMENT = 16


class Unbounded(Exception):
    """What cannot be allowed, whatever the columns hold: the message says why."""


@dataclass(frozen=True, slots=True)
class Part:
    """What an expression gives for a picture.

    length: bytes of its longest value, as a text.  text: that value, where it is constant.  listed: whether a list.
    """

    length: int
    text: str | None = None
    listed: bool = False


Parts = Sequence[Part]
Length = Callable[[Parts], int]
Work = Callable[[Parts, int], float]


def nothing(parts: Parts) -> int:
    """Most functions put nothing aside."""
    return 0


def pieces(parts: Parts) -> int:
    """All pieces of a text, each as an element of a list."""
    return 2 * ELEMENT * longest(parts[:1])


@dataclass(frozen=True, slots=True)
class Rule:
    """What a function does with its arguments.

    length: bytes of the longest result.  work: nanoseconds for a picture, from the arguments and that length.  aside:
    bytes that are neither in the arguments nor in the result.
    """

    length: Length
    work: Work
    aside: Length = nothing


def scalar(parts: Parts) -> int:
    """A number, a time, or a truth value."""
    return SCALAR


def longest(parts: Parts) -> int:
    """One of the arguments, or a piece of one."""
    return max((part.length for part in parts), default=0)


def total(parts: Parts) -> int:
    """All arguments, one behind the other."""
    return sum(part.length for part in parts)


def half_more(parts: Parts) -> int:
    """In Unicode 'ß' of two bytes becomes 'ẞ' of three; none grows more by its case."""
    return 3 * longest(parts) // 2


def thrice(parts: Parts) -> int:
    """No character grows more by being normalized."""
    return 3 * longest(parts)


def formatted(parts: Parts) -> int:
    """A time: two bytes of a format, %Z, give the name of a time zone."""
    return 20 * total(parts)


def listed(parts: Parts) -> int:
    """A list of the arguments, each with its quotes written twice."""
    return sum(2 * max(SCALAR, part.length) + ELEMENT for part in parts)


def replaced(parts: Parts) -> int:
    """The first argument with the second replaced by the third."""
    if len(parts) != 3:
        return total(parts)
    text, old, new = parts
    size = max(1, len(old.text.encode()) if old.text is not None else 1)
    return text.length + text.length // size * max(0, new.length - size)


def extracted(parts: Parts) -> int:
    """A group of a match; or one for each name of a list, together with the names."""
    names = parts[2:3]
    return (longest(parts[:1]) + 1) * (names[0].length if names and names[0].text is None else 1)


def skim(parts: Parts, length: int) -> float:
    """Comparing, adding, and choosing."""
    return 100 + total(parts)


def read(parts: Parts, length: int) -> float:
    """Looking at every byte of the arguments, and writing those of the result."""
    return 100 + 10 * (total(parts) + length)


def fold(parts: Parts, length: int) -> float:
    """Taking characters apart."""
    return 2 * read(parts, length)


def sort_marks(parts: Parts, length: int) -> float:
    """Putting accents in order: the square of how many there are on one letter."""
    return fold(parts, length) + 0.2 * longest(parts) ** 2


def look_up(parts: Parts, length: int) -> float:
    """Comparing the first with each of the others; constants of other lengths take next to nothing."""
    if not parts:
        return 0
    size = parts[0].length
    return sum(2 + (min(size, part.length) / 8 if part.text is not None else size + part.length) for part in parts[1:])


def like(parts: Parts, length: int) -> float:
    """The pattern at every place of the text."""
    return read(parts, 0) + _pairs(parts, 2)


def edit(parts: Parts, length: int) -> float:
    """A table with a row for each byte of one text and a column for each of the other."""
    return read(parts, 0) + _pairs(parts, 3)


def similar(parts: Parts, length: int) -> float:
    """The same, 64 columns at a time."""
    return read(parts, 0) + _pairs(parts, 0.03)


def _pairs(parts: Parts, each: float) -> float:
    return each * parts[0].length * parts[1].length if len(parts) > 1 else 0
