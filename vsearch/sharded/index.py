"""One collection in several indexes: a query goes to all of them, and the best of their answers come back."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

from vsearch.arguments import check_number
from vsearch.embed import load_pinned
from vsearch.errors import ClusterError, EncoderMismatch, QueryError
from vsearch.search.query import Decode, decode_alone
from vsearch.search.searcher import check_k, check_modality
from vsearch.sharded.asked import ask
from vsearch.sharded.hits import ShardedHits, gathered
from vsearch.sharded.place import Place
from vsearch.sharded.scatter import Scatter
from vsearch.types import EncoderInfo, Query, QueryValue

if TYPE_CHECKING:
    from vsearch.distributed import Cluster
    from vsearch.embed import Encoder
    from vsearch.recipe import Modality

AnyPath = str | os.PathLike[str]
PATIENCE = 0.8  # seconds after which a shard that has not answered is left out


class ShardedIndex:
    """Searches indexes of one encoder, the shards, as if they were one.  Safe from any number of threads.

    cluster: where they are searched (``vsearch.cluster``).  paths: of the indexes, the same on all machines.
    replicas: actors for each shard; while one is down, another answers.
    Raises EncoderMismatch when the shards were made with different encoders, and what ``open`` raises.
    """

    def __init__(self, cluster: Cluster, paths: Sequence[AnyPath], replicas: int = 1) -> None:
        if not paths:
            raise QueryError("an index of no shards; name one or more indexes")
        self._ray = cluster.ray
        self._encoder: Encoder | None = None
        self._through: Callable[[Encoder], Encoder] = lambda encoder: encoder
        self._decode: Decode = decode_alone
        self._lock = threading.Lock()
        named = [os.path.abspath(path) for path in paths]
        self.places = [Place(self._ray, number, path, replicas) for number, path in enumerate(named)]
        try:
            infos = [place.opened() for place in self.places]
            other = next((n for n, info in enumerate(infos) if info.digest != infos[0].digest), None)
            if other is not None:
                raise EncoderMismatch(
                    f"{named[0]} was made with the encoder {infos[0].name} ({infos[0].digest[:12]}), {named[other]} "
                    f"with {infos[other].name} ({infos[other].digest[:12]}): their vectors cannot be compared"
                )
        except BaseException:
            self.close()
            raise
        self.encoder_info: EncoderInfo = infos[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the actors."""
        for place in self.places:
            place.close()

    def route(self, *, encoder: Callable[[Encoder], Encoder], decode: Decode) -> None:
        """Embed and read query pictures as ``Index.route`` says; for servers, before the first search."""
        self._through, self._decode = encoder, decode

    def warm(self) -> None:
        """Load the encoder, which the first query would wait for.  Raises EncoderError."""
        self._loaded().encode_texts(["a picture"])

    def search(
        self,
        query: str | QueryValue | Query,
        k: int = 10,
        *,
        modality: Modality | None = None,
        where: str | None = None,
        include_query: bool = False,
        patience: float = PATIENCE,
    ) -> ShardedHits:
        """Find the k pictures that fit best in all shards; see ``Index.search``.

        patience: seconds to wait for shards, once the query is embedded; those that have not answered by then, or
        whose process died, are named in ``missing``, and the hits are those of the others.  Ids of pictures cannot be
        part of a query.
        Raises ClusterError when no shard answers, and what ``Index.search`` raises.
        """
        check_k(k)
        check_modality(modality)
        check_number(patience, "patience")
        told = query if isinstance(query, Query) else Query(query)
        asked = ask(told, self.encoder_info, self._loaded, include_query, self._decode)
        options = {"modality": modality or asked.modality, "where": where}
        answers = Scatter(self._ray, self.places, self._lock, (asked, k, options)).gather(patience)
        missing = tuple(place.path for place in self.places if place.number not in answers)
        if not answers:
            raise ClusterError(f"none of the {len(self.places)} shards answered within {patience:g} s; try again")
        return gathered(answers, k, missing)

    def _loaded(self) -> Encoder:
        with self._lock:
            if self._encoder is None:
                self._encoder = self._through(load_pinned(self.encoder_info, os.path.basename(self.places[0].path)))
            return self._encoder
