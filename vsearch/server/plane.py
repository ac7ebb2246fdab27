"""The map of a collection, laid out once for each state of it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from vsearch.server import answers, schemas

if TYPE_CHECKING:
    from vsearch.index import Index
    from vsearch.projection import Projection
    from vsearch.server.service import Service

DIGITS = 4  # of places in [-1, 1]: a tenth of a pixel on a wide screen


class Maps:
    """The latest map of each collection.  Those who ask for one that is being made wait for it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._making: dict[str, threading.Lock] = {}
        self._kept: dict[str, tuple[str, schemas.Map]] = {}

    def of(self, name: str, index: Index) -> schemas.Map:
        """The map of a collection as it is now.  Raises EncoderError, IndexCorrupt."""
        with self._guard:
            making = self._making.setdefault(name, threading.Lock())
        with making:
            with index.store.snapshot() as snapshot:
                now = answers.generation(snapshot)
            kept = self._kept.get(name)
            if kept is None or kept[0] != now:
                kept = self._kept[name] = (now, _told(index.projection(), now))
            return kept[1]


def plane(service: Service, asked: schemas.Of) -> schemas.Map:
    """Lay the collection out on a plane, what is alike near to each other."""
    collection = service.collection(asked.collection)
    return collection.ask(lambda index: service.maps.of(collection.name, index))


def _told(made: Projection, generation: str) -> schemas.Map:
    ids, places = made.ids.tolist(), made.xy.astype(float).round(DIGITS).tolist()
    points = [
        (id, x, y, group, tag)
        for id, (x, y), group, tag in zip(ids, places, made.group.tolist(), made.tag.tolist(), strict=True)
    ]
    return schemas.Map(
        made.pictures,
        points,
        [schemas.Group(answers.text(group.label) or "", group.count) for group in made.groups],
        [schemas.Group(answers.text(tag.label) or "", tag.count) for tag in made.tags],
        generation,
    )
