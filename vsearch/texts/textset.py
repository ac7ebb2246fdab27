"""One set of texts with their vectors, and how it lies on disk."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch.errors import IndexCorrupt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.files import Sink

    Ids = NDArray[np.int64]

MAGIC = b"vstexts1"
BLOCK_ROWS = 8192
_HEAD = struct.Struct("<8sQQQQ24x")  # 64 bytes: magic; texts, dimension, ids, bytes of text


@dataclass(frozen=True)
class TextSet:
    """Different texts, each with a vector and the ids of the pictures that have it as caption.

    rows: (n, dim) fp16 of unit length.  starts: (n + 1,) int64, text i is bytes starts[i] to starts[i + 1] of
    ``letters`` (UTF-8).  owner_starts: (n + 1,) int64 likewise into ``owners``, (m,) int64, ascending for each text.
    """

    rows: NDArray[np.float16]
    starts: Ids
    letters: NDArray[np.uint8]
    owner_starts: Ids
    owners: Ids

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, texts: Mapping[str, Sequence[int]], rows: NDArray[np.floating[Any]]) -> TextSet:
        """A set from texts with the ids of their pictures, and their vectors in the same order."""
        raw = [text.encode() for text in texts]
        letters = np.frombuffer(b"".join(raw), np.uint8)
        owners = np.array([id for ids in texts.values() for id in ids], np.int64)
        return cls(
            np.ascontiguousarray(rows, np.float16),
            _starts(map(len, raw)),
            letters,
            _starts(map(len, texts.values())),
            owners,
        )

    def text(self, number: int) -> str:
        """The text of a row."""
        return self.letters[self.starts[number] : self.starts[number + 1]].tobytes().decode("utf-8", "replace")

    def texts(self) -> Iterator[str]:
        """All texts in the order of the rows."""
        whole, starts = self.letters.tobytes(), self.starts.tolist()
        return (whole[a:b].decode("utf-8", "replace") for a, b in zip(starts, starts[1:], strict=False))

    def owners_of(self, number: int) -> Ids:
        """Ids of the pictures that have the text of a row."""
        return self.owners[self.owner_starts[number] : self.owner_starts[number + 1]]

    def owned(self, live: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which texts belong to a picture that is shown.  live: (m,), for each entry of ``owners``."""
        before = np.concatenate([[0], np.cumsum(live)])
        told: NDArray[np.bool_] = before[self.owner_starts[1:]] > before[self.owner_starts[:-1]]
        return told

    def blocks(self) -> Iterator[tuple[Ids, NDArray[np.float16]]]:
        """Numbers and rows, as exact search reads them."""
        for first in range(0, len(self), BLOCK_ROWS):
            rows = self.rows[first : first + BLOCK_ROWS]
            yield np.arange(first, first + len(rows)), rows

    def write(self, sink: Sink) -> None:
        """Write the whole set; numbers are little-endian."""
        sink.put(_HEAD.pack(MAGIC, *self.rows.shape, len(self.owners), len(self.letters)))
        for part in (self.rows, self.starts, self.owner_starts, self.owners, self.letters):
            if part.size:
                sink.put(np.ascontiguousarray(part).view(np.uint8).data.cast("B"))


def read(path: Path, dim: int) -> TextSet:
    """Map a set that ``write`` made; its bytes have been compared with their checksum before.

    Raises IndexCorrupt for a file of another kind or dimension.
    """
    raw = np.memmap(path, np.uint8, "r")
    magic, count, width, owned, letters = (
        _HEAD.unpack(raw[: _HEAD.size].tobytes()) if len(raw) >= _HEAD.size else 5 * (0,)
    )
    if magic != MAGIC or width != dim:
        raise IndexCorrupt(f"{path}: these are no vectors of texts of this index; vsearch repair drops them")
    sizes = (count * dim * 2, (count + 1) * 8, (count + 1) * 8, owned * 8, letters)
    ends = _HEAD.size + np.cumsum(sizes)
    if ends[-1] != len(raw):
        raise IndexCorrupt(f"{path}: cut off; vsearch repair drops it")
    rows, starts, owner_starts, owners, text = (raw[end - size : end] for end, size in zip(ends, sizes, strict=True))
    if not (_divides(starts.view("<i8"), letters) and _divides(owner_starts.view("<i8"), owned)):
        raise IndexCorrupt(f"{path}: its texts do not lie one behind the other; vsearch repair drops it")
    return TextSet(
        rows.view(np.float16).reshape(count, dim),
        starts.view("<i8"),
        text,
        owner_starts.view("<i8"),
        owners.view("<i8"),
    )


def _divides(starts: Ids, length: int) -> bool:
    """Whether places cut something of a length into pieces that lie one behind the other, from its start to its end."""
    return bool(starts[0] == 0 and starts[-1] == length and (np.diff(starts) >= 0).all())


def _starts(lengths: Iterator[int]) -> Ids:
    return np.concatenate([[0], np.cumsum(np.fromiter(lengths, np.int64))]).astype(np.int64)
