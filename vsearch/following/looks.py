"""Which files have stood still: two looks, some seconds apart, that saw the same size and time."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vsearch.types import Item


class Looks:
    """The last look at each file that may still be written."""

    def __init__(self, settle: float, clock: Callable[[], float]) -> None:
        self._settle = settle
        self._clock = clock
        self._seen: dict[bytes, tuple[int, int, float]] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def note(self, path: bytes, size: int, mtime_ns: int) -> None:
        """Remember how a file is now that it has changed."""
        self._seen[path] = (size, mtime_ns, self._clock())

    def settled(self, item: Item) -> bool:
        """Whether a file is as it was ``settle`` seconds ago; one that was not looked at before is not, yet."""
        size, mtime_ns, when = self._seen.get(item.path, (-1, -1, 0.0))
        if (size, mtime_ns) != (item.size, item.mtime_ns):
            self.note(item.path, item.size, item.mtime_ns)
            return False
        return self._clock() - when >= self._settle

    def keep(self, items: Iterable[Item]) -> None:
        """Forget all files but these."""
        self._seen = {item.path: self._seen[item.path] for item in items}
