"""A FAISS file, read so that it can do no more than be wrong, wherever it came from.

FAISS keeps some inverted lists in a second file, whose path the first one names, and opens that for reading and writing
without asking.  It believes lengths, too.  A checksum does not help against an index that somebody else made.
"""

from __future__ import annotations

import mmap
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from vsearch import files
from vsearch.ann.library import faiss, reason
from vsearch.errors import IndexCorrupt

_ON_DISK = b"ilod"  # FAISS's mark of lists that lie in another file
_LEAST_LIMIT = 64 << 20  # bytes
_setting = threading.Lock()  # the limit is one for the whole process


def read(path: Path, *, mapped: bool = False) -> Any:
    """The FAISS index in a file.  Raises IndexCorrupt, FileNotFoundError.

    mapped: leave on disk what FAISS can leave there.
    """
    library = faiss()
    flags = library.IO_FLAG_MMAP_IFC if mapped else 0
    try:
        # By descriptor: FAISS takes no path that is not UTF-8, and one that is opened cannot be swapped.
        with open(path, "rb", opener=files.plain) as file:
            if names_a_file(file):
                raise IndexCorrupt(f"{path}: its lists lie in another file, which vsearch never makes; it is not read")
            with _limited(file.seek(0, 2)):
                return library.read_index(f"/dev/fd/{file.fileno()}", flags)
    except (RuntimeError, MemoryError) as error:
        said = reason(error) if isinstance(error, RuntimeError) else "out of memory"
        raise IndexCorrupt(f"{path}: FAISS cannot read it ({said})") from error


def names_a_file(file: BinaryIO) -> bool:
    """Whether reading an index would make FAISS open a file that it names.

    The mark may stand among codes by chance, in one of fifty files of 100 MB; then the file is read as FAISS reads it,
    which asks for a mark, and for nothing else of that value, by four bytes.
    """
    if not file.seek(0, 2):
        return False
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        if re.search(_ON_DISK, whole) is None:
            return False
    file.seek(0)
    found: list[bool] = []

    def next_bytes(count: int) -> bytes:
        piece = file.read(count)
        if piece == _ON_DISK:
            found.append(True)
            return b""  # FAISS takes this for the end of the file
        return piece

    try:
        faiss().read_index(faiss().PyCallbackIOReader(next_bytes))
    except RuntimeError:
        return bool(found)
    return False


@contextmanager
def _limited(size: int) -> Iterator[None]:
    """No vector of more bytes than twice the file's size, for reading in this block."""
    library = faiss()
    with _setting:
        before = library.get_deserialization_vector_byte_limit()
        library.set_deserialization_vector_byte_limit(max(_LEAST_LIMIT, 2 * size))
        try:
            yield
        finally:
            library.set_deserialization_vector_byte_limit(before)
