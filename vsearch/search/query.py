"""From a query to one unit vector in the joint space, and what it says of the results wanted."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vsearch.arguments import check_number, numbers_of, whole_number, written
from vsearch.errors import DimensionMismatch, QueryError
from vsearch.recipe import Modality
from vsearch.sources.protocol import absolute
from vsearch.types import Box, Crop, EncoderInfo, Kind, Part

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

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
_KINDS = (str, np.ndarray, Path)
_NO_LENGTH = "a query vector is zero, infinite or not a number"


@dataclass(frozen=True, slots=True)
class QueryVector:
    """A query as a vector: (1, dim) float32 of unit length, in the joint space of the encoder that made it.

    modality: ``text`` when texts have at least a fifth of the weight.  has_pictures: whether any part, or anything
    that it was moved by, is a picture.
    ids, paths, contents: which pictures are part of it: by id, by path, and by content (16 bytes, XXH3-128).
    """

    vector: Matrix
    modality: Modality
    has_pictures: bool = False
    ids: frozenset[int] = frozenset()
    paths: frozenset[bytes] = frozenset()
    contents: frozenset[bytes] = frozenset()

    def kind(self, modality: Modality) -> Kind:
        """With what its hits are compared, when it is searched as ``modality``."""
        return "mixed" if modality == "text" and self.has_pictures else modality


def decode_alone(path: bytes, spec: PixelSpec, box: Box | None) -> Decoded:
    """Decode in a process that is started for it.  Raises what ``decode_one`` raises."""
    from vsearch.decode import decode_one

    return decode_one(path, spec, box=box)


def embed(
    parts: tuple[Part, ...],
    info: EncoderInfo,
    encoder: Callable[[], Encoder],
    stored: Callable[[int], Matrix],
    decode: Decode = decode_alone,
) -> QueryVector:
    """Embed the parts of a query, add them by their weights, scale to unit length.

    info: describes the encoder.  encoder: gives it when a part needs it.  stored: the vector, (dim,), that is kept
    of an indexed picture, by its id.  decode: reads picture files.
    Raises QueryError, DecodeError, EncoderError, DimensionMismatch, and what ``stored`` raises.
    """
    weights = _weights(parts)
    total = np.zeros(info.dim)
    text_share = 0.0
    texts = [(part.value, weight) for part, weight in zip(parts, weights, strict=True) if isinstance(part.value, str)]
    if texts:
        vectors = encoder().encode_texts([text for text, _ in texts])
        total += np.array([weight for _, weight in texts]) @ vectors
        text_share = sum(abs(weight) for _, weight in texts)
    paths: set[bytes] = set()
    contents: set[bytes] = set()
    for part, weight in zip(parts, weights, strict=True):
        value = part.value
        if isinstance(value, str):
            continue
        if isinstance(value, int | np.integer):
            vector = stored(int(value))
        elif isinstance(value, np.ndarray):
            vector = _given(value, info.dim)
        else:
            pixels, file = _pixels(value, info.preprocess, decode)
            vector = encoder().encode_images(pixels[None])[0]
            if file is not None:
                paths.add(file[0])
                contents.add(file[1])
        total += weight * vector.astype(np.float64)
    length = _length(total)
    if length < 1e-6:
        raise QueryError("the parts of this query cancel each other out; change their weights")
    return QueryVector(
        (total / length).astype(np.float32)[None],
        "text" if text_share >= TEXT_SHARE else "image",
        has_pictures=any(not isinstance(part.value, str | np.ndarray) for part in parts),
        ids=frozenset(int(part.value) for part in parts if isinstance(part.value, int | np.integer)),
        paths=frozenset(paths),
        contents=frozenset(contents),
    )


def _weights(parts: tuple[Part, ...]) -> list[float]:
    """The weights of the parts, scaled so that their sizes add up to 1.  Raises QueryError."""
    if not parts:
        raise QueryError("an empty query; give a text, a picture or an id")
    for part in parts:
        _check_kind(part)
    if any(isinstance(p.value, str) and not p.value.strip() for p in parts):
        raise QueryError("an empty text; say what the picture shows")
    if any(isinstance(p.value, str) and not _is_valid(p.value) for p in parts):
        raise QueryError("a text that UTF-8 cannot hold (a lone surrogate, or bytes of another encoding); mend it")
    largest = max(abs(p.weight) for p in parts)
    if not all(math.isfinite(p.weight) for p in parts) or largest == 0:
        raise QueryError("the weights of a query are finite numbers, and one of them is not 0")
    sizes = sum(abs(p.weight / largest) for p in parts)
    return [p.weight / largest / sizes for p in parts]


def _check_kind(part: Part) -> None:
    """Raise QueryError unless a part is of a kind that can be searched with, and its weight is a number."""
    if type(part.weight) is not float:
        check_number(part.weight, "the weight of a part")
    value = part.value
    if isinstance(value, Crop):
        _check_box(value.box)
        value = value.picture
        if isinstance(value, str):
            raise QueryError(f"the picture of a Crop is {written(value)}; a file is a Path")
    if isinstance(value, int | np.integer):
        whole_number(value, "the id of a picture")
    elif not (isinstance(value, _KINDS) or hasattr(value, "getexif")):
        raise QueryError(
            f"a query of {written(value)}; give a text (str), a file (Path), a PIL image, a vector (numpy array) or "
            "Query.like(id), and several of them together as Query(a, b)"
        )


def _check_box(box: Box) -> None:
    if not isinstance(box, Box):
        raise QueryError(f"the box of a Crop is {written(box)}; give a Box(x, y, width, height)")
    for side in (box.x, box.y, box.width, box.height):
        check_number(side, "a side of a Box")


def unit(xq: Matrix) -> Matrix:
    """Queries (n, dim) scaled to unit length.  Raises QueryError for one that has none."""
    norms: Matrix = np.sqrt(np.einsum("ij,ij->i", xq, xq))[:, None]
    if not ((norms > 1e-12) & (norms < np.inf)).all():
        raise QueryError(_NO_LENGTH)
    out: Matrix = xq / norms
    return out


def _is_valid(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _pixels(
    value: Path | Image | Crop, spec: PixelSpec, decode: Decode
) -> tuple[NDArray[np.uint8], tuple[bytes, bytes] | None]:
    """A picture as an encoder wants to see it, and the path and content of the file that it is from, if of any."""
    from vsearch.decode import fit

    picture, box = (value.picture, value.box) if isinstance(value, Crop) else (value, None)
    if not isinstance(picture, Path):
        return fit(picture, spec, box), None
    decoded = decode(os.fsencode(picture), spec, box)
    return decoded.pixels, (absolute(picture), decoded.content)


def _given(vector: NDArray[np.floating], dim: int) -> Matrix:
    if vector.shape != (dim,):
        raise DimensionMismatch(f"a query of shape {vector.shape}; this index holds {dim} dimensions")
    given: Matrix = numbers_of(vector, "query vectors").astype(np.float32)
    if (length := _length(given)) <= 1e-12:
        raise QueryError(_NO_LENGTH)
    return given / np.float32(length)


def _length(vector: NDArray[np.floating]) -> float:
    """Euclidean length of one vector (dim,).  Raises QueryError for one that is infinite or not a number."""
    length = math.sqrt(vector @ vector)
    if not math.isfinite(length):
        raise QueryError(_NO_LENGTH)
    return length
