"""Several sources as one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vsearch.sources.protocol import Source
from vsearch.types import Failure, Item


@dataclass(frozen=True)
class Chain:
    """Sources one after the other; a picture that two of them name is yielded once."""

    sources: tuple[Source, ...]

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The folders of all of them."""
        return tuple(dict.fromkeys(root for source in self.sources for root in source.roots))

    def __iter__(self) -> Iterator[Item | Failure]:
        """Walk each source.  Raises SourceError."""
        seen: set[bytes] = set()
        for source in self.sources:
            for found in source:
                if found.path not in seen:
                    seen.add(found.path)
                    yield found


def chain(*sources: Source) -> Source:
    """One source out of several."""
    return sources[0] if len(sources) == 1 else Chain(sources)
