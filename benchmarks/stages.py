"""CPU time by stage: at each moment it counts for the innermost stage that has begun."""

from __future__ import annotations

import importlib
import inspect
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, wraps
from typing import Any

OTHER = "other"


class Stages:
    """Seconds of each stage since this was made.  clock: seconds; the CPU time of the process unless given."""

    def __init__(self, clock: Callable[[], float] = time.process_time) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._clock = clock
        self._began = [OTHER]
        self._since = clock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What is done inside counts for ``name``, but for stages that begin in it."""
        self._count()
        self._began.append(name)
        try:
            yield
        finally:
            self._count()
            self._began.pop()

    def _count(self) -> None:
        now = self._clock()
        self.seconds[self._began[-1]] += now - self._since
        self._since = now

    def shares(self) -> dict[str, float]:
        """The part of all time so far that each stage took; together they are 1."""
        self._count()
        whole = sum(self.seconds.values())
        return {name: seconds / whole for name, seconds in self.seconds.items()}

    def watch(self, owner: Any, attribute: str, name: str) -> None:
        """Let a function, a method or a cached property count for a stage from now on."""
        found = inspect.getattr_static(owner, attribute)  # also one that a class inherits, as itself
        if isinstance(found, cached_property):
            found.func = self._watched(found.func, name)  # type: ignore[method-assign]
        else:
            setattr(owner, attribute, self._watched(found, name))

    def watch_imports(self, name: str) -> None:
        """The same for every import that is not in ``sys.modules`` yet."""
        self.watch(importlib._bootstrap, "_find_and_load", name)  # type: ignore[attr-defined]

    def _watched(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        @wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return function(*args, **kwargs)

        return counted
