"""What every source is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from vsearch.arguments import written
from vsearch.errors import SourceError
from vsearch.types import Failure, Item

AnyPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]
ADDRESS = "an address, and only files on this machine are read; copy what is there: vsearch fetch ADDRESS FOLDER"
_ADDRESS = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]+://")


@runtime_checkable
class Source(Protocol):
    """A stream of pictures, each yielded once, in a fixed order.

    roots: absolute folders that the source covers whole: an indexed picture below one of them that is not
    yielded has vanished.  Empty for lists, whose silence about a picture says nothing.

    A source that opens archives has a method ``walk`` too: it yields the archives themselves in place of their
    members, so that those that did not change need not be opened.  One that reads tables has ``tables``, their paths:
    failures of their lines (``pairs.csv#line 7``) are forgotten when they are not told again; and ``rows``, table →
    paths of the pictures that the last walk found in it: one that was there before has gone.  One that is made with
    options has ``settings``: root → those that are not as by default; and ``left_out``: kind → how many files the last
    walk passed by that another option would take in.  One that walks folders has ``passed_by``, how many other files
    the last walk did not look at, by suffix.  One that has something to say of itself, as which encoding its texts are
    in, has ``remarks``.
    """

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The folders covered whole."""

    def __iter__(self) -> Iterator[Item | Failure]:
        """Pictures, and what could not be looked at (stage ``scan``).  Raises SourceError."""


def absolute(path: AnyPath, base: bytes = b"") -> bytes:
    """Make a path absolute, as bytes, links not resolved, relative to ``base`` or the current directory.

    ``//a``, which POSIX lets mean something else, is ``/a`` on every system that pictures are read on.
    Raises SourceError for what cannot be a path.
    """
    try:
        made = os.path.abspath(os.path.join(base, os.fsencode(path)))
    except (TypeError, ValueError) as error:  # no path, or a lone surrogate that stands for no byte
        raise SourceError(f"{written(path)} is no path of a file or folder") from error
    return made[1:] if made.startswith(b"//") else made


def is_address(path: AnyPath) -> bool:
    """Whether a path looks like an address in the network, ``https://…`` or ``s3://…``, and nothing is there."""
    return _ADDRESS.match(os.fsencode(path)) is not None and not os.path.lexists(path)


def place(path: AnyPath, base: bytes = b"") -> bytes:
    """As ``absolute``, but an address in the network stays what it is."""
    whole = absolute(path, base)
    return os.fsencode(path) if is_address(path) else whole


def check_no_address(path: AnyPath) -> None:
    """Raise SourceError for an address in the network."""
    if is_address(path):
        raise SourceError(f"{os.fsdecode(path)!r}: {ADDRESS}")
