"""LlamaIndex: an index as a retriever of pictures.  Needs ``vsearch-engine[llamaindex]``.

A multi-modal retriever, and no ``VectorStore``: there the framework embeds queries with a model of its own, while an
index is pinned to the encoder of its pictures.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_index.core.base.base_multi_modal_retriever import MultiModalRetriever
from llama_index.core.schema import ImageNode, NodeWithScore, QueryBundle

from vsearch.adapters.metadata import metadata_of, text_of
from vsearch.errors import QueryError
from vsearch.types import Query

if TYPE_CHECKING:
    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.indices.query.schema import QueryType

    from vsearch.index import Index
    from vsearch.types import Hit

# What is said of a picture to a language model: the rest is for programs.
_NOT_FOR_MODELS = ["id", "uri", "path_b64", "rank", "score", "confidence", "copies"]


class VsearchRetriever(MultiModalRetriever):
    """The pictures of an index for texts and for pictures, as ``ImageNode`` with the cosine as score.

    A ``QueryBundle`` with ``image_path`` and a text asks for both together.  ``retrieve`` takes either.
    """

    def __init__(
        self,
        index: Index,
        similarity_top_k: int = 10,
        *,
        where: str | None = None,
        min_confidence: float | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        """index: open, for as long as the retriever is used.  where, min_confidence: as for ``Index.search``."""
        self.index = index
        self.similarity_top_k = similarity_top_k
        self.where, self.min_confidence = where, min_confidence
        super().__init__(callback_manager)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [node(hit) for hit in self.index.search(_query(query_bundle), **self._options())]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [node(hit) for hit in await self.index.asearch(_query(query_bundle), **self._options())]

    def text_to_image_retrieve(self, str_or_query_bundle: QueryType) -> list[NodeWithScore]:
        """Pictures that fit a text."""
        return self._text_to_image_retrieve(_bundle(str_or_query_bundle))

    async def atext_to_image_retrieve(self, str_or_query_bundle: QueryType) -> list[NodeWithScore]:
        """The same, while the event loop goes on."""
        return await self._atext_to_image_retrieve(_bundle(str_or_query_bundle))

    def image_to_image_retrieve(self, str_or_query_bundle: QueryType) -> list[NodeWithScore]:
        """Pictures like one, by its path; it is left out when it is indexed."""
        return self._image_to_image_retrieve(_image_bundle(str_or_query_bundle))

    async def aimage_to_image_retrieve(self, str_or_query_bundle: QueryType) -> list[NodeWithScore]:
        """The same, while the event loop goes on."""
        return await self._aimage_to_image_retrieve(_image_bundle(str_or_query_bundle))

    def text_retrieve(self, str_or_query_bundle: QueryType) -> list[NodeWithScore]:
        """Nothing: an index has no texts of its own but captions, which are with their pictures."""
        return []

    async def atext_retrieve(self, str_or_query_bundle: QueryType) -> list[NodeWithScore]:
        """Nothing, likewise."""
        return []

    def _text_to_image_retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._retrieve(QueryBundle(query_bundle.query_str))

    async def _atext_to_image_retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await self._aretrieve(QueryBundle(query_bundle.query_str))

    def _image_to_image_retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._retrieve(QueryBundle("", query_bundle.image_path))

    async def _aimage_to_image_retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await self._aretrieve(QueryBundle("", query_bundle.image_path))

    def _options(self) -> dict[str, Any]:
        return {"k": self.similarity_top_k, "where": self.where, "min_confidence": self.min_confidence}


def node(hit: Hit) -> NodeWithScore:
    """A result as a node: its text is the caption, else the name of the file; see ``told.metadata_of``.

    A picture has ``image_path``; a vector that was imported under the URL of one, and a path that is not UTF-8, have
    ``image_url``.
    """
    told = metadata_of(hit)
    by_url = "://" in hit.uri and ("path_b64" in told or not hit.uri.startswith("file://"))
    return NodeWithScore(
        node=ImageNode(
            id_=str(hit.id),
            text=text_of(hit.caption, hit.raw_path),
            image_path=None if by_url else str(hit.path),
            image_url=hit.uri if by_url else None,
            metadata=told,
            excluded_llm_metadata_keys=_NOT_FOR_MODELS,
            excluded_embed_metadata_keys=_NOT_FOR_MODELS,
        ),
        score=hit.score,
    )


def _query(bundle: QueryBundle) -> Query:
    parts: list[str | Path] = []
    if bundle.query_str.strip():
        parts.append(bundle.query_str)
    if bundle.image_path is not None:
        parts.append(Path(bundle.image_path))
    if not parts:
        raise QueryError("an empty query; give a text, or the path of a picture")
    return Query(*parts)


def _bundle(given: QueryType) -> QueryBundle:
    return QueryBundle(given) if isinstance(given, str) else given


def _image_bundle(given: QueryType) -> QueryBundle:
    return QueryBundle("", given) if isinstance(given, str) else given
