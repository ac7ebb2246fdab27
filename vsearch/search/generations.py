"""Which FAISS index answers: the one that the metadata names, if its bytes are those that were published."""

from __future__ import annotations

import threading
from collections.abc import Callable

from vsearch import ann
from vsearch import recipe as recipes
from vsearch.ann import Searchable
from vsearch.errors import IndexCorrupt, RecipeError
from vsearch.store import Snapshot, Store, maintain
from vsearch.store.check import generation_problem
from vsearch.store.records import Generation


class Generations:
    """Loads generations as snapshots name them, and keeps the last one.  Thread-safe."""

    def __init__(self, store: Store, notice: Callable[[str], None]) -> None:
        self._store = store
        self._notice = notice
        self._loading = threading.Lock()
        self._last: Searchable | None = None
        self._refused: set[str] = set()

    def of(self, snapshot: Snapshot) -> Searchable | None:
        """What to search beside the tail; None where everything is to be searched exactly.

        A file that does not match its checksum is refused, which is told once: exact search answers instead.
        """
        named = snapshot.space.generation
        if named is None or named.name in self._refused:
            return None
        last = self._last
        if last is not None and last.index.name == named.name:
            return last
        with self._loading:
            if self._last is None or self._last.index.name != named.name:
                found = self._load(snapshot, named)
                if found is None:
                    return None
                self._last = found
            return self._last

    def forget(self) -> None:
        """Let go of what is loaded."""
        self._last = None

    def _load(self, snapshot: Snapshot, named: Generation) -> Searchable | None:
        path = self._store.layout.ann(snapshot.space.name) / named.name / maintain.INDEX_FILE
        problem = generation_problem(path, named)
        if problem and self._is_superseded(named.name):
            return None  # Another process published a newer one and took this one away meanwhile.
        try:
            if problem:
                raise IndexCorrupt(problem)
            recipe = recipes.from_plan(named.recipe)
            index = ann.load(path, named.upto, named.name, mapped=recipe.mappable, dim=snapshot.space.dim)
            return Searchable(index, recipe)
        except FileNotFoundError:
            return None
        except (IndexCorrupt, RecipeError) as error:
            self._refused.add(named.name)
            self._notice(
                f"{error}; searching exactly instead. Build it again with: vsearch repair {self._store.layout.root}"
            )
            return None

    def _is_superseded(self, name: str) -> bool:
        with self._store.snapshot() as now:
            return now.space.generation is None or now.space.generation.name != name
