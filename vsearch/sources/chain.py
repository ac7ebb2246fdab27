"""Several sources as one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vsearch.members.address import MARK
from vsearch.sources.archive import Archive, opened
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
        return opened(self.walk())

    def walk(self) -> Iterator[Item | Failure | Archive]:
        """The same, with archives themselves in place of their members."""
        seen: set[bytes] = set()
        for source in self.sources:
            for found in walk(source):
                # An animation may be named as a picture and for its frames.
                key = found.path + MARK if isinstance(found, Archive) else found.path
                if key not in seen:
                    seen.add(key)
                    yield found


def walk(source: Source) -> Iterator[Item | Failure | Archive]:
    """What a source yields, with archives themselves in place of their members."""
    walked: Iterator[Item | Failure | Archive] = getattr(source, "walk", source.__iter__)()
    return walked


def chain(*sources: Source) -> Source:
    """One source out of several."""
    return sources[0] if len(sources) == 1 else Chain(sources)
