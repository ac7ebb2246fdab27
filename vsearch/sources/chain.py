"""Several sources as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from vsearch.errors import SourceError
from vsearch.members.address import MARK
from vsearch.sources.archive import Archive, opened
from vsearch.sources.protocol import Source
from vsearch.types import Failure, Item, Settings


@dataclass(frozen=True)
class Chain:
    """Sources one after the other; a picture that two of them name is yielded once."""

    sources: tuple[Source, ...]

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The folders of all of them."""
        return tuple(dict.fromkeys(root for source in self.sources for root in source.roots))

    @property
    def tables(self) -> tuple[bytes, ...]:
        """Those of all of them."""
        return tuple(path for source in self.sources for path in getattr(source, "tables", ()))

    @property
    def passed_by(self) -> Counter[bytes]:
        """Of all of them."""
        total: Counter[bytes] = Counter()
        for source in self.sources:
            total.update(getattr(source, "passed_by", {}))
        return total

    @property
    def remarks(self) -> tuple[str, ...]:
        """Those of all of them."""
        return tuple(said for source in self.sources for said in getattr(source, "remarks", ()))

    @property
    def rows(self) -> dict[bytes, list[bytes]]:
        """Those of all tables."""
        return {table: paths for source in self.sources for table, paths in getattr(source, "rows", {}).items()}

    @property
    def settings(self) -> dict[bytes, Settings]:
        """Those of all of them."""
        return {root: told for source in self.sources for root, told in getattr(source, "settings", {}).items()}

    @property
    def left_out(self) -> Counter[str]:
        """What all of them leave out."""
        count: Counter[str] = Counter()
        for source in self.sources:
            count.update(getattr(source, "left_out", {}))
        return count

    def __iter__(self) -> Iterator[Item | Failure]:
        """Walk each source.  One that cannot be read is a failure, and the others are walked."""
        return opened(self.walk())

    def walk(self) -> Iterator[Item | Failure | Archive]:
        """The same, with archives themselves in place of their members."""
        seen: set[bytes] = set()
        for source in self.sources:
            for found in _walked(source):
                # An animation may be named as a picture and for its frames.
                key = found.path + MARK if isinstance(found, Archive) else found.path
                if key not in seen:
                    seen.add(key)
                    yield found


def _walked(source: Source) -> Iterator[Item | Failure | Archive]:
    """A source, up to where it cannot be read.  Raises SourceError for one that has no path."""
    try:
        yield from walk(source)
    except SourceError as error:
        places = source.roots or getattr(source, "tables", ())
        if not places:
            raise
        yield Failure(places[0], "scan", str(error))


def walk(source: Source) -> Iterator[Item | Failure | Archive]:
    """What a source yields, with archives themselves in place of their members."""
    walked: Iterator[Item | Failure | Archive] = getattr(source, "walk", source.__iter__)()
    return walked


def chain(*sources: Source) -> Source:
    """One source out of several."""
    return sources[0] if len(sources) == 1 else Chain(sources)
