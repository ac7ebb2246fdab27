"""Compositions with exact truth: what stands where, in which colour and how often, and how a caption says so.

Each has a twin that differs by one swap, and whose caption has the same words in another order: the colours change
places, or the sides, or the counts.  A bag of words cannot tell twins apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb

import numpy as np

KINDS = ("attribute", "relation", "count")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (205, 28, 32),
    "orange": (240, 132, 20),
    "yellow": (244, 222, 40),
    "green": (44, 150, 60),
    "blue": (38, 84, 205),
    "purple": (128, 44, 158),
    "white": (238, 238, 236),
    "black": (44, 44, 46),
}
PLACES = {"wood": "on a wooden table", "grass": "on the grass", "sand": "on the beach", "sky": "in the sky"}
_NUMBERS = ("", "one", "two", "three", "four")


@dataclass(frozen=True)
class Thing:
    """A noun, its plural, and the name of its cut-out."""

    noun: str
    plural: str
    cut_out: str


Meeting = tuple[Thing, Thing]


@dataclass(frozen=True)
class Group:
    """Equal things of one colour that stand together."""

    count: int
    colour: str
    thing: Thing

    def __str__(self) -> str:
        if self.count > 1:
            return f"{_NUMBERS[self.count]} {self.colour} {self.thing.plural}"
        return f"{'an' if self.colour[0] in 'aeiou' else 'a'} {self.colour} {self.thing.noun}"


@dataclass(frozen=True)
class Composition:
    """Two groups side by side on a ground.

    kind: what its twin swaps.  mirrored: the second group stands on the left; only a caption of a relation says so.
    """

    kind: str
    first: Group
    second: Group
    ground: str
    mirrored: bool

    @property
    def caption(self) -> str:
        """One sentence, true of the picture and false of its twin."""
        if self.kind == "relation":
            link = f"to the {'right' if self.mirrored else 'left'} of"
        else:
            link = "and"
        return f"{self.first} {link} {self.second} {PLACES[self.ground]}"

    @property
    def twin(self) -> Composition:
        """The composition with its colours, sides or counts swapped; twin of a twin is the first again."""
        if self.kind == "relation":
            return replace(self, mirrored=not self.mirrored)
        field = "colour" if self.kind == "attribute" else "count"
        mine, other = getattr(self.first, field), getattr(self.second, field)
        return replace(self, first=replace(self.first, **{field: other}), second=replace(self.second, **{field: mine}))

    @property
    def key(self) -> tuple[object, ...]:
        """The same for a composition and its twin, in whichever order they are told."""
        pair = self.first, self.second
        each = ([g.thing.noun for g in pair], [g.colour for g in pair], [str(g.count) for g in pair])
        return self.kind, self.ground, *(tuple(sorted(values)) for values in each)


def read_things(table: str) -> list[Thing]:
    """Things from lines of ``noun | plural | cut-out``; empty lines are skipped."""
    lines = filter(None, map(str.strip, table.splitlines()))
    return [Thing(*(cell.strip() for cell in line.split("|"))) for line in lines]


def meetings(things: list[Thing]) -> tuple[list[Meeting], list[Meeting]]:
    """Every two things, in two lists: those that may be seen together in training, and those that never are.

    Of n things about one pair in n / 2 is kept apart, and each thing has few of those, so it is seen with all others.
    """
    every = list(combinations(range(len(things)), 2))
    apart = {(i, j) for i, j in every if (i + j) % max(2, len(things) // 2) == 0}
    together = [pair for pair in every if pair not in apart]
    return [(things[i], things[j]) for i, j in together], [(things[i], things[j]) for i, j in sorted(apart)]


def capacity(pairs: list[Meeting]) -> int:
    """How many different keys there are."""
    of_counts = 1 + 1 + comb(len(_NUMBERS) - 1, 2)
    return len(pairs) * comb(len(COLOURS), 2) * len(PLACES) * of_counts


def compositions(pairs: list[Meeting], seed: int) -> Iterator[Composition]:
    """Compositions of two things each without end, no two with the same key: take far fewer than ``capacity``."""
    rng = np.random.default_rng(seed)
    colours, grounds = list(COLOURS), list(PLACES)
    seen = set()
    while True:
        kind = KINDS[rng.integers(len(KINDS))]
        both = pairs[rng.integers(len(pairs))]
        a, b = (both[i] for i in rng.permutation(2))
        red, green = (colours[i] for i in rng.choice(len(colours), 2, replace=False))
        many, few = map(int, rng.choice(np.arange(1, 5), 2, replace=False)) if kind == "count" else (1, 1)
        ground, mirrored = grounds[rng.integers(len(grounds))], bool(rng.integers(2))
        made = Composition(kind, Group(many, red, a), Group(few, green, b), ground, mirrored)
        if made.key not in seen:
            seen.add(made.key)
            yield made
