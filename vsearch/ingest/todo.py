"""The pictures that a run has to read: millions at a time, so half of what as many objects would take."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from vsearch.types import Cell, Item


class Todo:
    """Items in the order they came, each path once.

    ``path in todo`` is asked of every picture that a source shows, so paths are the keys of a dict; its order is that
    of the numbers beside it.
    """

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._paths: dict[bytes, None] = {}
        self._numbers = array("q")  # three an item: size, mtime_ns, ctime_ns
        self._said: list[tuple[str | None, dict[str, Cell] | None] | None] = []
        for item in items:
            self.add(item)

    def add(self, item: Item) -> None:
        """Put one at the end, unless its path is there."""
        if item.path in self._paths:
            return
        self._paths[item.path] = None
        self._numbers.extend((item.size, item.mtime_ns, item.ctime_ns))
        silent = item.caption is None and item.columns is None
        self._said.append(None if silent else (item.caption, item.columns))

    def __contains__(self, path: bytes) -> bool:
        return path in self._paths

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[Item]:
        numbers = iter(self._numbers)
        for path, said in zip(self._paths, self._said, strict=True):
            yield Item(path, next(numbers), next(numbers), next(numbers), *(said or ()))
