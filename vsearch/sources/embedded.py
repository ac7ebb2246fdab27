"""Vectors that another program made, and the pictures they are of: in parts, which are read one at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from vsearch.sources.img2dataset import Keys

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Embedded:
    """Vectors and what is known of each: n uris, (n, dim) floats, columns of n values.

    name: the file that errors name.
    """

    uris: list[str | Path]
    rows: NDArray[np.floating]
    columns: dict[str, list[Any]]
    name: str = ""


@runtime_checkable
class EmbeddedSource(Protocol):
    """Where vectors come from."""

    @property
    def name(self) -> str:
        """What errors call it."""

    @property
    def dim(self) -> int:
        """Numbers of a vector."""

    @property
    def parts(self) -> Sequence[object]:
        """One entry for each part."""

    def __len__(self) -> int:
        """How many vectors there are in all parts."""

    def __iter__(self) -> Iterator[Embedded]:
        """All parts, one after another."""

    def read(self, number: int) -> Embedded:
        """The part of that number; its vectors stay on disk until they are used.  Raises SourceError."""


def placed(name: str, pictures: Keys | None) -> str | Path:
    """Where a picture is: a path as it was written, else what ``pictures`` has of that name, else the name."""
    if pictures is None or os.path.isabs(name) or "://" in name:
        return name
    return pictures.find(name) or name
