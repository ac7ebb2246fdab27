"""A root that was indexed and is not there any more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vsearch.sources.protocol import AnyPath, absolute
from vsearch.types import Failure, Item


@dataclass(frozen=True)
class Missing:
    """Shows nothing of what it covers, as an unmounted disk: ``prune`` forgets what was below it."""

    root: bytes

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The folder that is gone."""
        return (self.root,)

    def __iter__(self) -> Iterator[Item | Failure]:
        """Nothing."""
        return iter(())


def missing(path: AnyPath) -> Missing:
    """A folder that an index knows and that is gone."""
    return Missing(absolute(path))
