"""The tensors of a safetensors file, mapped into memory: what is not used is never read.

The format is an 8-byte length, a JSON header with type, shape and place of each tensor, and the numbers, little-endian
(https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal, Protocol

import msgspec
import numpy as np

from vsearch.errors import EncoderError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_HEADER = 100 << 20  # bytes, as the library has it
_KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}

Whole = Annotated[int, msgspec.Meta(ge=0)]


class Entry(msgspec.Struct):
    """Where a tensor lies: its type, its shape, and the bytes [start, stop) behind the header."""

    dtype: Literal["F64", "F32", "F16", "BF16", "I64", "I32", "U8", "BOOL"]
    shape: tuple[Whole, ...]
    data_offsets: tuple[Whole, Whole]


class Weights(Protocol):
    """Tensors by name."""

    path: Path

    def __contains__(self, name: str) -> bool: ...

    @property
    def names(self) -> list[str]:
        """Of all tensors."""

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor.  Raises EncoderError when it is not there."""

    def stored(self, name: str) -> NDArray[np.generic]:
        """A tensor as it is stored, not to be changed; bfloat16 as float32.  Raises EncoderError."""

    def floats(self, name: str, *shape: int) -> NDArray[np.float32]:
        """A tensor as float32.  shape: what it must have, if given.  Raises EncoderError."""

    def release(self) -> None:
        """Let go of the memory that holds what was read so far; arrays stay valid, and read the file again."""


class TensorFile:
    """A safetensors file.  Thread-safe; the mapping lives as long as any array taken from it."""

    def __init__(self, path: Path) -> None:
        """Read the header.  Raises EncoderError for a file that is cut or no safetensors file, OSError."""
        self.path = path
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            self._begin, self.entries = self._header(file.read(8), file, size)
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def _header(self, head: bytes, file: BinaryIO, size: int) -> tuple[int, dict[str, Entry]]:
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else -1
        if not 0 <= length <= min(MOST_HEADER, size - 8):
            raise self._damaged("it is no safetensors file, or cut short")
        try:
            header = msgspec.json.decode(file.read(length), type=dict[str, msgspec.Raw])
            header.pop("__metadata__", None)
            entries = {name: msgspec.json.decode(raw, type=Entry) for name, raw in header.items()}
        except msgspec.DecodeError as error:
            raise self._damaged(f"its header cannot be read: {error}") from error
        for name, entry in entries.items():
            start, stop = entry.data_offsets
            if not start <= stop <= size - 8 - length or _bytes(entry) != stop - start:
                raise self._damaged(f"the tensor {name} does not lie in it: it may be cut short")
        return 8 + length, entries

    def _damaged(self, why: str) -> EncoderError:
        return EncoderError(f"{self.path}: {why}. Fetch or copy the model again")

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    @property
    def names(self) -> list[str]:
        """Of all tensors."""
        return list(self.entries)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor.  Raises EncoderError when it is not there."""
        if name not in self.entries:
            raise self._damaged(f"the tensor {name} is missing")
        return self.entries[name].shape

    def stored(self, name: str) -> NDArray[np.generic]:
        """A tensor as it is stored, not to be changed; bfloat16 as float32.  Raises EncoderError."""
        shape, entry = self.shape(name), self.entries[name]
        kind = np.dtype(_KINDS[entry.dtype])
        offset = self._begin + entry.data_offsets[0]
        array = np.frombuffer(self._map, kind, count=_count(entry), offset=offset).reshape(shape)
        if entry.dtype == "BF16":
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array

    def floats(self, name: str, *shape: int) -> NDArray[np.float32]:
        """A tensor as float32: mapped where it is stored so, else a copy.  shape: what it must have, if given.

        Raises EncoderError.
        """
        array = self.stored(name)
        if shape and array.shape != shape:
            raise self._damaged(f"the tensor {name} has the shape {array.shape}, where {shape} is wanted")
        return np.asarray(array, np.float32)

    def release(self) -> None:
        """Let go of the memory that holds what was read so far; arrays stay valid, and read the file again."""
        self._map.madvise(mmap.MADV_DONTNEED)


def open_weights(path: Path) -> Weights:
    """The tensors of a weights file, whatever its form.  Raises EncoderError, OSError."""
    if path.suffix == ".safetensors":
        return TensorFile(path)
    from vsearch.embed.clip.pickled import PickledFile

    return PickledFile(path)


def _count(entry: Entry) -> int:
    count = 1
    for side in entry.shape:
        count *= side
    return count


def _bytes(entry: Entry) -> int:
    return _count(entry) * np.dtype(_KINDS[entry.dtype]).itemsize
