"""From a query to one unit vector in the joint space, and what it says of the results wanted."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vsearch.bounds import valid
from vsearch.errors import DimensionMismatch, QueryError
from vsearch.recipe import Modality
from vsearch.sources.protocol import absolute
from vsearch.store import Store
from vsearch.types import Box, Crop, EncoderInfo, Kind, Part, Query

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.decode import Decoded
    from vsearch.embed import Encoder
    from vsearch.types import PixelSpec

    Matrix = NDArray[np.float32]

Decode = Callable[[bytes, "PixelSpec", "Box | None"], "Decoded"]
"""Reads a picture file, or a part of it, for an encoder: ``vsearch.decode.decode_one``, or what stands in for it."""

# Share of the weights from which on texts decide how widely is searched.  Texts lie apart from pictures in the joint
# space, and a mixture lies between: with a fifth of text it is already turned away from where pictures are.  Taking it
# for a text costs milliseconds; taking it for a picture silently costs results.
TEXT_SHARE = 0.2
_NO_LENGTH = "a query vector is zero, infinite or not a number"


@dataclass(frozen=True, slots=True)
class Embedded:
    """A query as a vector: (1, dim) float32 of unit length.

    modality: ``text`` when texts have at least a fifth of the weight.  exclude: ids of the pictures that are part of
    it.  has_pictures: whether any part, or anything that it was moved by, is a picture.
    space: the joint space that it lies in; the index may change to another one meanwhile.
    """

    vector: Matrix
    modality: Modality
    exclude: frozenset[int]
    space: str
    has_pictures: bool = False

    def kind(self, asked: Modality) -> Kind:
        """With what its hits are compared, when it is searched as ``asked``."""
        return "mixed" if asked == "text" and self.has_pictures else asked


def decode_alone(path: bytes, spec: PixelSpec, box: Box | None) -> Decoded:
    """Decode in a process that is started for it.  Raises what ``decode_one`` raises."""
    from vsearch.decode import decode_one

    return decode_one(path, spec, box=box)


def embed(
    query: Query,
    store: Store,
    encoder: Callable[[EncoderInfo], Encoder],
    include_query: bool = False,
    decode: Decode = decode_alone,
) -> Embedded:
    """Embed the parts, add them by their weights, scale to unit length.

    encoder: gives the encoder of that description, the live space's, when a part needs it.  include_query: exclude
    nothing; otherwise the pictures that are part of the query are excluded: those given by id, and indexed ones at
    the path of a file or with its content.  Raises QueryError, DecodeError, EncoderError, DimensionMismatch.
    """
    weighted = list(zip(query.parts, _weights(query), strict=True))
    info = store.encoder_info
    total = np.zeros(info.dim)
    texts = [(part.value, weight) for part, weight in weighted if isinstance(part.value, str)]
    if texts:
        vectors = encoder(info).encode_texts([text for text, _ in texts])
        total += np.array([weight for _, weight in texts]) @ vectors
    known: set[int] = set()
    for part, weight in weighted:
        if not isinstance(part.value, str):
            vector, ids = _vector(part, store, info, encoder, decode)
            total += weight * vector.astype(np.float64)
            known |= ids
    length = _length(total)
    if length < 1e-6:
        raise QueryError("the parts of this query cancel each other out; change their weights")
    modality: Modality = "text" if sum(abs(weight) for _, weight in texts) >= TEXT_SHARE else "image"
    exclude = frozenset() if include_query else frozenset(known)
    pictures = any(not isinstance(part.value, str | np.ndarray) for part in query.parts)
    return Embedded((total / length).astype(np.float32)[None], modality, exclude, info.space, pictures)


def _weights(query: Query) -> list[float]:
    """The weights of the parts, scaled so that their sizes add up to 1.  Raises QueryError."""
    if not query.parts:
        raise QueryError("an empty query; give a text, a picture or an id")
    if any(isinstance(p.value, str) and not p.value.strip() for p in query.parts):
        raise QueryError("an empty text; say what the picture shows")
    if any(isinstance(p.value, str) and p.value != valid(p.value) for p in query.parts):
        raise QueryError("a text that UTF-8 cannot hold (a lone surrogate, or bytes of another encoding); mend it")
    largest = max(abs(p.weight) for p in query.parts)
    if not all(math.isfinite(p.weight) for p in query.parts) or largest == 0:
        raise QueryError("the weights of a query are finite numbers, and one of them is not 0")
    sizes = sum(abs(p.weight / largest) for p in query.parts)
    return [p.weight / largest / sizes for p in query.parts]


def unit(xq: Matrix) -> Matrix:
    """Queries (n, dim) scaled to unit length.  Raises QueryError for one that has none."""
    norms: Matrix = np.sqrt(np.einsum("ij,ij->i", xq, xq))[:, None]
    if not ((norms > 1e-12) & (norms < np.inf)).all():
        raise QueryError(_NO_LENGTH)
    out: Matrix = xq / norms
    return out


def _vector(
    part: Part, store: Store, info: EncoderInfo, encoder: Callable[[EncoderInfo], Encoder], decode: Decode
) -> tuple[Matrix, set[int]]:
    """The vector of a part that is no text, (dim,) float32, and the ids under which it is indexed."""
    value = part.value
    if isinstance(value, int):
        return _stored(value, store, info.space), {value}
    if isinstance(value, np.ndarray):
        return _given(value, info.dim), set()
    assert not isinstance(value, str)
    from vsearch.decode import fit

    spec = info.preprocess
    picture, box = (value.picture, value.box) if isinstance(value, Crop) else (value, None)
    ids: set[int] = set()
    if isinstance(picture, Path):
        decoded = decode(os.fsencode(picture), spec, box)
        pixels, ids = decoded.pixels, _indexed(store, picture, decoded.content)
    else:
        pixels = fit(picture, spec, box)
    vector: Matrix = encoder(info).encode_images(pixels[None])[0]
    return vector, ids


def _stored(id: int, store: Store, space: str) -> Matrix:
    with store.snapshot(space) as snapshot:
        if snapshot.record(id) is None:
            raise QueryError(f"no picture has the id {id}; ids are shown by: vsearch query --json")
        if snapshot.is_absent(id):
            raise QueryError(f"the picture {id} could not be read when the encoder was changed; index it again")
        stored: Matrix = snapshot.vectors(np.array([id], np.int64))[0]
        return stored


def _indexed(store: Store, file: Path, content: bytes) -> set[int]:
    """Ids of the pictures at a path or with a content (16 bytes, XXH3-128)."""
    with store.snapshot() as snapshot:
        there = snapshot.at_path(absolute(file))
        return {*snapshot.with_content(content), *([there] if there is not None else [])}


def _given(vector: NDArray[np.floating], dim: int) -> Matrix:
    if vector.shape != (dim,):
        raise DimensionMismatch(f"a query of shape {vector.shape}; this index holds {dim} dimensions")
    given: Matrix = np.asarray(vector, np.float32)
    if (length := _length(given)) <= 1e-12:
        raise QueryError(_NO_LENGTH)
    return given / np.float32(length)


def _length(vector: NDArray[np.floating]) -> float:
    """Euclidean length of one vector (dim,).  Raises QueryError for one that is infinite or not a number."""
    length = math.sqrt(vector @ vector)
    if not math.isfinite(length):
        raise QueryError(_NO_LENGTH)
    return length
