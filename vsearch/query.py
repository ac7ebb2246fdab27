"""From a query to one unit vector in the joint space, and what it says of the results wanted."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vsearch.errors import DimensionMismatch, QueryError
from vsearch.recipe import Modality
from vsearch.store import Store
from vsearch.types import EncoderInfo, Part, Query

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.embed import Encoder

    Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Embedded:
    """A query as a vector: (1, dim) float32 of unit length.

    modality: ``text`` when nothing but texts is in it.  exclude: ids of the pictures that are part of it.
    space: the joint space that it lies in; the index may change to another one meanwhile.
    """

    vector: Matrix
    modality: Modality
    exclude: frozenset[int]
    space: str


def embed(query: Query, store: Store, encoder: Callable[[EncoderInfo], Encoder]) -> Embedded:
    """Embed the parts, add them by their weights, scale to unit length.

    encoder: gives the encoder of that description, the live space's, when a part needs it.
    Raises QueryError, DecodeError, EncoderError, DimensionMismatch.
    """
    if not query.parts:
        raise QueryError("an empty query; give a text, a picture or an id")
    texts = [p for p in query.parts if isinstance(p.value, str)]
    if any(isinstance(p.value, str) and not p.value.strip() for p in texts):
        raise QueryError("an empty text; say what the picture shows")
    info = store.encoder_info
    total = np.zeros(info.dim, np.float32)
    if texts:
        vectors = encoder(info).encode_texts([str(p.value) for p in texts])
        total += np.array([p.weight for p in texts], np.float32) @ vectors
    ids = []
    for part in query.parts:
        if not isinstance(part.value, str):
            total += np.float32(part.weight) * _vector(part, store, info, encoder)
        if isinstance(part.value, int):
            ids.append(part.value)
    if float(np.linalg.norm(total)) < 1e-6:
        raise QueryError("the parts of this query cancel each other out; change their weights")
    modality: Modality = "text" if len(texts) == len(query.parts) else "image"
    return Embedded(unit(total[None]), modality, frozenset(ids), info.space)


def unit(xq: Matrix) -> Matrix:
    """Queries (n, dim) scaled to unit length.  Raises QueryError for one that has none."""
    norms: Matrix = np.sqrt(np.einsum("ij,ij->i", xq, xq))[:, None]
    if not ((norms > 1e-12) & (norms < np.inf)).all():
        raise QueryError("a query vector is zero, infinite or not a number")
    out: Matrix = xq / norms
    return out


def _vector(part: Part, store: Store, info: EncoderInfo, encoder: Callable[[EncoderInfo], Encoder]) -> Matrix:
    """The vector of a part that is no text: (dim,) float32."""
    value = part.value
    if isinstance(value, int):
        with store.snapshot(info.space) as snapshot:
            if snapshot.record(value) is None:
                raise QueryError(f"no picture has the id {value}; ids are shown by: vsearch query --json")
            if snapshot.is_absent(value):
                raise QueryError(f"the picture {value} could not be read when the encoder was changed; index it again")
            stored: Matrix = snapshot.vectors(np.array([value], np.int64))[0]
            return stored
    if isinstance(value, np.ndarray):
        return _given(value, info.dim)
    assert not isinstance(value, str)
    from vsearch.decode import decode_one, fit

    spec = info.preprocess
    pixels = decode_one(os.fsencode(value), spec).pixels if isinstance(value, Path) else fit(value, spec)
    vector: Matrix = encoder(info).encode_images(pixels[None])[0]
    return vector


def _given(vector: NDArray[np.floating], dim: int) -> Matrix:
    if vector.shape != (dim,):
        raise DimensionMismatch(f"a query of shape {vector.shape}; this index holds {dim} dimensions")
    scaled: Matrix = unit(np.asarray(vector, np.float32)[None])[0]
    return scaled
