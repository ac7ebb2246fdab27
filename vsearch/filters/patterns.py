"""How large a regular expression becomes: RE2 writes repetitions out, ``(ab){500}`` as five hundred copies.

A text for which its automaton is too large is followed through all copies at once, so a short pattern of many copies
takes microseconds for each byte of each text.
"""

from __future__ import annotations

import re
from functools import lru_cache

from vsearch.filters.rules import Unbounded

MOST_STEPS = 10_000
_TOKEN = re.compile(
    r"""
    (?P<quoted>  \\Q (?:.*?) (?:\\E|\Z) )
    | (?P<property> \\[pP] (?:\{[^}]*\}|.) )
    | (?P<escape> \\x\{[^}]*\} | \\. )
    | (?P<members> \[ \^? \]? (?: \\. | \[:\^?\w+:\] | [^\]\\] )* \] )
    | (?P<repeat> \{ (?P<least>\d+) ,? (?P<most>\d*) \} )
    | (?P<suffix> [*+?] )
    | (?P<open> \( )
    | (?P<close> \) )
    | (?P<any> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_PROPERTY = re.compile(r"\\[pP]")
# Steps of the automaton.  A class such as \pL has hundreds of ranges of bytes; a dot, the four lengths of UTF-8.
_OF_PROPERTY, _OF_CLASS = 400, 6


@lru_cache(maxsize=256)
def steps(pattern: str, options: str = "") -> int:
    """An upper estimate of how many steps of the automaton a pattern is written out to.  Raises Unbounded."""
    # One sum for each group that is open, from the outermost on, with what a repetition would repeat.
    sums, last = [0], 0
    letter = 4 if "i" in options or re.search(r"\(\?\w*i", pattern) else 1
    for token in _TOKEN.finditer(pattern):
        kind = str(token.lastgroup)
        if kind == "open":
            sums.append(2)
            continue
        if kind == "close":
            last = sums.pop() if len(sums) > 1 else 0
            more = last
        elif kind == "repeat":
            more = last * (_copies(token) - 1) + 1
            last += more
        elif kind == "suffix":
            more = 1
            last += more
        else:
            last = more = _atom(kind, token[0], letter)
        sums[-1] += more
    if (total := sum(sums) + 1) > MOST_STEPS:
        raise Unbounded(f"this pattern has {total:,} steps, its repetitions written out; at most {MOST_STEPS:,}")
    return total


def _copies(token: re.Match[str]) -> int:
    """How many of what stands before it a repetition makes; RE2 refuses more than a thousand."""
    counts = [int(text[:5]) for text in (token["least"], token["most"]) if text]
    return min(max(1, *counts), 1000)


def _atom(kind: str, text: str, letter: int) -> int:
    if kind == "property":
        return _OF_PROPERTY
    if kind == "members":
        return _OF_CLASS + 2 * letter * len(text) + _OF_PROPERTY * len(_PROPERTY.findall(text))
    if kind == "quoted":
        return letter * len(text.encode())
    return _OF_CLASS if kind == "escape" or text == "." else letter * len(text.encode())
