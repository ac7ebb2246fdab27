"""What a store must hold after each operation: a dictionary, and a seeded stream of operations that change it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIM = 16
LARGEST = 12
MOST = 60
ROUND = (
    *("add", "reindex", "build", "reindex", "prune", "add"),
    *("compact", "reindex", "build", "forget", "respace", "compact"),
)
SILENT = ("create", "build", "compact", "respace")
"""Kinds that change no picture, and so carry no version."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A file as the model sees it: its bytes are a number."""

    path: bytes
    content: int
    missing: bool = False

    @property
    def digest(self) -> bytes:
        """16 bytes in place of the hash of the file's bytes."""
        return hashlib.blake2b(b"%d" % self.content, digest_size=16).digest()


State = dict[int, Picture]
"""Id to picture."""


@dataclass(frozen=True, slots=True)
class Op:
    """One operation: its place in the stream, its kind, and what it changes."""

    number: int
    kind: str
    additions: tuple[Picture, ...] = ()
    updates: dict[int, Picture] = field(default_factory=dict)
    dropped: tuple[int, ...] = ()


class Model:
    """The state, and the next operation.  The same seed gives the same stream everywhere.

    least: pictures that every addition fills up to.
    """

    def __init__(self, seed: int, least: int = 0) -> None:
        self.state: State = {}
        self.number = -1
        self._random = Random(seed)
        self._next_id = 0
        self._next_content = 0
        self._least = least

    def step(self) -> Op:
        """Choose the next operation and change the state by it."""
        self.number += 1
        kind = "create" if self.number == 0 else ROUND[(self.number - 1) % len(ROUND)]
        op: Op = getattr(self, "_" + kind, self._nothing)(Op(self.number, kind))
        self.state = self._after(op)
        return op

    def _after(self, op: Op) -> State:
        state = {id: picture for id, picture in self.state.items() if id not in op.dropped}
        at = {picture.path: id for id, picture in state.items()}

        def put(id: int, picture: Picture) -> None:
            """Only one picture is at a path, and one path is a picture's."""
            if (old := state.pop(id, None)) is not None:
                del at[old.path]
            if (other := at.get(picture.path)) is not None:
                del state[other]
            state[id], at[picture.path] = picture, id

        for id, picture in op.updates.items():
            put(id, picture)
        for picture in op.additions:
            put(self._next_id, picture)
            self._next_id += 1
        return dict(sorted(state.items()))

    def _nothing(self, op: Op) -> Op:
        return op

    def _add(self, op: Op) -> Op:
        n = self._random.randint(1, LARGEST)
        return replace(op, additions=self._new(max(n, self._least - len(self.state))))

    def _reindex(self, op: Op) -> Op:
        """What a second run over a folder finds: moved, vanished, returned, changed and new pictures."""
        ids = self._random.sample(list(self.state), min(len(self.state), 2 * LARGEST))
        updates: State = {}
        changed: list[Picture] = []
        for id in ids:
            old = self.state[id]
            what = self._random.choice(("move", "vanish", "change", "stay"))
            if old.missing:
                updates[id] = replace(old, missing=False)
            elif what == "move":
                updates[id] = replace(old, path=self._path())
            elif what == "vanish":
                updates[id] = replace(old, missing=True)
            elif what == "change":
                changed.append(replace(old, content=self._content()))
        return replace(op, updates=updates, additions=(*changed, *self._new(self._random.randint(0, 3))))

    def _prune(self, op: Op) -> Op:
        return replace(op, dropped=tuple(id for id, picture in self.state.items() if picture.missing))

    def _forget(self, op: Op) -> Op:
        most = max(1, len(self.state) - self._least - MOST)
        return replace(op, dropped=tuple(self._random.sample(list(self.state), min(most, len(self.state)))))

    def _new(self, n: int) -> tuple[Picture, ...]:
        contents = [self._content() for _ in range(n)]
        if n > 3:
            contents[-1] = contents[0]  # The same bytes under two names.
        return tuple(Picture(self._path(), content) for content in contents)

    def _content(self) -> int:
        self._next_content += 1
        return self._next_content

    def _path(self) -> bytes:
        return b"/photos/%08x\xff.jpg" % self._random.getrandbits(32)


def history(seed: int, least: int = 0) -> Iterator[tuple[Op, State]]:
    """Operations and the state after each, without end."""
    model = Model(seed, least)
    while True:
        op = model.step()
        yield op, model.state


@lru_cache(maxsize=1 << 16)
def vector(content: int) -> NDArray[np.float16]:
    """The unit vector of a picture, (DIM,) fp16: a function of its bytes alone."""
    import numpy as np

    row = np.random.default_rng(content).standard_normal(DIM, np.float32)
    return np.asarray(row / np.linalg.norm(row)).astype(np.float16)
