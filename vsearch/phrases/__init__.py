"""What people type into a search for pictures: a sample of text queries for collections that have no captions.

The phrases were written for this project, and tools/phrases.py makes the list from its words.  They stand for text
queries where the statistics of those are needed: embedded by an index's own encoder, they show where in the joint
space its text queries will lie.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def load() -> tuple[str, ...]:
    """All phrases (at least 2,000, none twice), in a mixed order, so that a prefix is a fair sample."""
    text = files(__name__).joinpath("phrases.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
