"""LangChain: an index as ``VectorStore`` and as retriever.  Needs ``vsearch-engine[langchain]``.

A document is a picture: its text is the caption, else the name of the file; its metadata say where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance
from pydantic import ConfigDict

from vsearch.adapters.metadata import add, known, metadata_of, number_of, text_of
from vsearch.arguments import check_list, check_texts
from vsearch.errors import QueryError
from vsearch.index import Index, create
from vsearch.types import Query

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from PIL.Image import Image

    from vsearch.types import Hit, QueryValue

    Picture = str | PathLike[str] | Image

Scored = list[tuple[Document, float]]


class VsearchStore(VectorStore):
    """The pictures of an index.

    Queries that are texts mean texts; pictures have methods of their own.  Scores are cosines in [-1, 1], higher is
    better.  Every search takes the options of ``Index.search`` too: ``where="width >= 2000"``, ``min_confidence=0.5``.
    """

    def __init__(self, index: Index) -> None:
        """index: open, for as long as the store is used; with ``write=True`` for adding and deleting."""
        self.index = index

    @property
    def embeddings(self) -> Embeddings:
        """The encoder of the index, for texts."""
        return EncoderEmbeddings(self.index)

    # Searching

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """The k pictures that fit a text best.  Raises what ``Index.search`` raises."""
        return [document(hit) for hit in self.index.search(query, k, **kwargs)]

    def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> Scored:
        """The same, each with its cosine."""
        return [(document(hit), hit.score) for hit in self.index.search(query, k, **kwargs)]

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """As ``similarity_search``, while the event loop goes on."""
        return [document(hit) for hit in await self.index.asearch(query, k, **kwargs)]

    async def asimilarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> Scored:
        """As ``similarity_search_with_score``, while the event loop goes on."""
        return [(document(hit), hit.score) for hit in await self.index.asearch(query, k, **kwargs)]

    def similarity_search_by_vector(self, embedding: list[float], k: int = 4, **kwargs: Any) -> list[Document]:
        """The k pictures nearest to a vector of the index's joint space: (dim,) floats of any length but zero.

        It is taken for that of a text, which is searched more widely; ``modality="image"`` for that of a picture.
        """
        options = {"modality": "text", **kwargs}
        return [document(hit) for hit in self.index.search(np.asarray(embedding, np.float32), k, **options)]

    def similarity_search_by_image(self, image: Picture, k: int = 4, **kwargs: Any) -> list[Document]:
        """The k pictures most like one: the path of a file, or a PIL image.  Itself is left out when it is indexed."""
        return [document for document, _ in self.similarity_search_by_image_with_score(image, k, **kwargs)]

    def similarity_search_by_image_with_score(self, image: Picture, k: int = 4, **kwargs: Any) -> Scored:
        """The same, each with its cosine."""
        query = Path(image) if isinstance(image, str | PathLike) else image
        return [(document(hit), hit.score) for hit in self.index.search(query, k, **kwargs)]

    def similarity_search_by_query(self, query: Query, k: int = 4, **kwargs: Any) -> list[Document]:
        """The k pictures that fit texts and pictures together: ``Query("beach") + Path("sunset.jpg") - "people"``."""
        return [document(hit) for hit in self.index.search(query, k, **kwargs)]

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """K of the ``fetch_k`` best, chosen to differ from each other; lambda_mult: 1 for none of that, 0 for most."""
        vector = self.index.encoder.encode_texts([query])[0]
        return self._diverse(vector, query, k, fetch_k, lambda_mult, kwargs)

    def max_marginal_relevance_search_by_vector(
        self, embedding: list[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """The same for a vector of the joint space."""
        vector = np.asarray(embedding, np.float32)
        return self._diverse(vector, vector, k, fetch_k, lambda_mult, {"modality": "text", **kwargs})

    def _diverse(
        self, vector: Any, query: QueryValue, k: int, fetch_k: int, lambda_mult: float, options: dict[str, Any]
    ) -> list[Document]:
        hits = self.index.search(query, fetch_k, **options)
        with self.index.store.snapshot() as snapshot:
            there = [hit for hit in hits if snapshot.record(hit.id) is not None]
            rows = snapshot.vectors(np.array([hit.id for hit in there], np.int64)) if there else np.zeros((0, 1))
        chosen = maximal_marginal_relevance(vector, list(rows), lambda_mult, k) if there else []
        return [document(there[at]) for at in chosen]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        # A cosine below 0 says no more than 0.  Those of texts are low by nature: see ``min_confidence``.
        return lambda cosine: max(0.0, cosine)

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Pictures by id, in that order; ids that are not there are left out."""
        told = known(self.index, [number_of(id) for id in check_texts(ids, "ids", QueryError)])
        return [Document(id=str(id), page_content=text, metadata=metadata) for id, text, metadata in told]

    # Changing

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add pictures with captions: ``texts`` are the captions, ``metadatas`` have the paths of files as ``path``.

        Whatever else the metadata hold becomes columns for ``where``.  Returns their ids, which the index gives.
        So does ``add_documents``.  Raises QueryError without paths or with ids, SourceError for files that cannot be
        read, when all others are added, IndexNotWritable.
        """
        captions = check_texts(texts, "texts", QueryError)
        if ids is not None:
            raise QueryError("ids are given by the index; leave them out, and take those that are returned")
        if metadatas is None or len(metadatas) != len(captions) or not all(one.get("path") for one in metadatas):
            raise QueryError('each text is the caption of a picture; name it: metadata={"path": "apple.jpg"}')
        rows = [
            (str(told["path"]), caption or None, {name: told[name] for name in told if name not in _OWN})
            for caption, told in zip(captions, metadatas, strict=True)
        ]
        return list(map(str, add(self.index, rows)))

    def add_images(
        self, uris: Sequence[str | PathLike[str]], metadatas: list[dict[str, Any]] | None = None
    ) -> list[str]:
        """Add picture files, with a ``caption`` and columns for each if there are metadata; return their ids."""
        check_list(uris, "uris")
        told = metadatas if metadatas is not None else [{} for _ in uris]
        captions = [str(one.get("caption") or "") for one in told]
        paths = [{**one, "path": str(uri)} for uri, one in zip(uris, told, strict=True)]
        return self.add_texts(captions, paths)

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Forget pictures, never their files; return whether all of them were there.  Raises QueryError for None."""
        if ids is None:
            raise QueryError("name the ids to forget; a whole index is forgotten by removing its folder")
        return self.index.remove([number_of(id) for id in check_texts(ids, "ids", QueryError)]) == len(ids)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        path: str | PathLike[str] = "images.vsearch",
        encoder: str = "auto",
        **kwargs: Any,
    ) -> VsearchStore:
        """Make an index at ``path`` and add pictures with captions, as ``add_texts`` does; so does ``from_documents``.

        embedding: None; ``encoder`` names what embeds texts and pictures.  Raises QueryError, IndexExists.
        """
        if embedding is not None:
            raise QueryError("pictures and texts are embedded by the index's own encoder: embedding=None, encoder=NAME")
        made = cls(create(path, encoder))
        made.add_texts(texts, metadatas, ids=ids)
        return made


class VsearchRetriever(BaseRetriever):
    """The k pictures that fit a text: ``VsearchRetriever(index=index, k=5, where="width >= 2000").invoke("a beach")``.

    min_confidence: in [0, 1], leave out what is less sure.  All can be given to ``invoke`` too.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    index: Any
    k: int = 4
    where: str | None = None
    min_confidence: float | None = None

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun | None = None, **kwargs: Any
    ) -> list[Document]:
        return [document(hit) for hit in self.index.search(query, **self._options(kwargs))]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun | None = None, **kwargs: Any
    ) -> list[Document]:
        return [document(hit) for hit in await self.index.asearch(query, **self._options(kwargs))]

    def _options(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"k": self.k, "where": self.where, "min_confidence": self.min_confidence, **given}


class EncoderEmbeddings(Embeddings):
    """Texts through the encoder of an index: vectors that ``similarity_search_by_vector`` takes."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of unit length, one for each text.  Raises EncoderError."""
        return [list(map(float, row)) for row in self._index.encoder.encode_texts(texts)]

    def embed_query(self, text: str) -> list[float]:
        """The vector of a text.  Raises EncoderError."""
        return self.embed_documents([text])[0]


def document(hit: Hit) -> Document:
    """A result as a document; see ``told.metadata_of``."""
    return Document(id=str(hit.id), page_content=text_of(hit.caption, hit.raw_path), metadata=metadata_of(hit))


# What documents that come from here say of themselves, which is no column when they are added elsewhere.
_OWN = frozenset("id uri path path_b64 caption width height rank score confidence copies".split())
