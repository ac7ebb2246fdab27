"""A query made into a vector where no shard is at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, cast

from vsearch.errors import QueryError
from vsearch.query import Decode, decode_alone, embed
from vsearch.types import EncoderInfo, Query

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vsearch.embed import Encoder
    from vsearch.recipe import Modality
    from vsearch.store import Store


@dataclass(frozen=True)
class Asked:
    """A query as shards take it.  vector: (dim,) float32 of unit length.

    hidden: paths, and contents (16 bytes, XXH3-128), of the pictures that are part of the query and no result of it.
    """

    vector: NDArray[np.float32]
    modality: Modality
    hidden: frozenset[bytes]


def ask(
    query: Query, info: EncoderInfo, encoder: Callable[[], Encoder], include_query: bool, decode: Decode = decode_alone
) -> Asked:
    """Embed a query.  Raises QueryError, also for a picture named by id, and what ``vsearch.query.embed`` raises."""
    if any(isinstance(part.value, int) for part in query.parts):
        raise QueryError("the query names a picture by id, which one shard alone knows; give its path instead")
    store = _Elsewhere(info)
    told = embed(query, cast("Store", store), lambda _: encoder(), decode=decode)
    return Asked(told.vector[0], told.modality, frozenset() if include_query else frozenset(store.asked_for))


@dataclass
class _Elsewhere:
    """Stands for the store in ``embed``: it holds no picture, and remembers which ones it was asked for."""

    encoder_info: EncoderInfo
    asked_for: set[bytes] = field(default_factory=set)

    @contextmanager
    def snapshot(self) -> Iterator[Self]:
        yield self

    def at_path(self, path: bytes) -> None:
        self.asked_for.add(path)

    def with_content(self, content: bytes) -> list[int]:
        self.asked_for.add(content)
        return []
