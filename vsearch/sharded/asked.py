"""A query made into a vector where no shard is at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vsearch.errors import QueryError
from vsearch.search.query import Decode, decode_alone, embed
from vsearch.types import EncoderInfo, Query

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vsearch.embed import Encoder
    from vsearch.recipe import Modality


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
    """Embed a query.  Raises QueryError, also for a picture named by id, and what ``search.query.embed`` raises."""
    embedded = embed(query.parts, info, encoder, _elsewhere, decode)
    hidden = frozenset[bytes]() if include_query else embedded.paths | embedded.contents
    return Asked(embedded.vector[0], embedded.modality, hidden)


def _elsewhere(id: int) -> NDArray[np.float32]:
    raise QueryError("the query names a picture by id, which one shard alone knows; give its path instead")
