"""What every source is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Protocol

from vsearch.types import Failure, Item

AnyPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class Source(Protocol):
    """A stream of pictures, each yielded once, in a fixed order.

    roots: absolute folders that the source covers whole: an indexed picture below one of them that is not
    yielded has vanished.  Empty for lists, whose silence about a picture says nothing.

    A source that opens archives has a method ``walk`` too: it yields the archives themselves in place of their
    members, so that those that did not change need not be opened.  One that reads tables has ``tables``, their paths:
    failures of their lines (``pairs.csv#line 7``) are forgotten when they are not told again; and ``rows``, table →
    paths of the pictures that the last walk found in it: one that was there before has gone.  One that is made with
    options has ``settings``: root → those that are not as by default; and ``left_out``: kind → how many files the last
    walk passed by that another option would take in.
    """

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The folders covered whole."""

    def __iter__(self) -> Iterator[Item | Failure]:
        """Pictures, and what could not be looked at (stage ``scan``).  Raises SourceError."""


def absolute(path: AnyPath, base: bytes = b"") -> bytes:
    """Make a path absolute, as bytes, links not resolved, relative to ``base`` or the current directory.

    ``//a``, which POSIX lets mean something else, is ``/a`` on every system that pictures are read on.
    """
    made = os.path.abspath(os.path.join(base, os.fsencode(path)))
    return made[1:] if made.startswith(b"//") else made
