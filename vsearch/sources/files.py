"""Single files, named one by one or in a list."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from vsearch.arguments import written
from vsearch.errors import SourceError
from vsearch.members.address import resolve
from vsearch.sources.archive import member
from vsearch.sources.probe import captioned, scan_failure
from vsearch.sources.protocol import ADDRESS, AnyPath, absolute, is_address, place
from vsearch.types import Failure, Item

CHUNK = 1 << 20
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Files:
    """Files in the order given, each once.  Links are followed, since each was named on purpose."""

    paths: Callable[[], Iterable[bytes]]

    @property
    def roots(self) -> tuple[bytes, ...]:
        """None: a list covers no folder."""
        return ()

    def __iter__(self) -> Iterator[Item | Failure]:
        """Look at each file.  Raises SourceError when the list itself cannot be read."""
        seen: set[bytes] = set()
        for path in self.paths():
            if path not in seen:
                seen.add(path)
                yield from _look(path)


def _look(path: bytes) -> Iterator[Item | Failure]:
    if is_address(path):
        yield Failure(path, "scan", ADDRESS)
        return
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        pair = resolve(path)
        yield from member(*pair) if pair is not None else [scan_failure(path, error)]
        return
    yield from captioned(path, status)


def files(paths: Iterable[AnyPath]) -> Files:
    """Files of any name and suffix; one that is not there is a failure of stage ``scan``."""
    if isinstance(paths, str | bytes | os.PathLike):
        raise SourceError(f"files are given as a list of paths, and this is one: write [{written(paths)}]")
    try:
        given = list(paths)
    except TypeError as error:
        raise SourceError(f"files are given as a list of paths, and this is {written(paths)}") from error
    named = [place(path) for path in given]
    return Files(lambda: named)


def listing(list_file: AnyPath | BinaryIO, base: AnyPath | None = None) -> Files:
    """Files named in a list: one a line, or NUL-separated as ``find -print0`` writes them.

    list_file: a path, or a binary stream, which can be walked only once.
    base: what relative paths are relative to; the current directory when None.
    The list is NUL-separated when a NUL occurs in its first megabyte.  In lines a UTF-8 byte order mark and
    the CR of CRLF are dropped, so names that end in CR or contain a newline need NULs.
    Raises SourceError when the list cannot be read.
    """
    if not isinstance(list_file, str | bytes | os.PathLike) and not hasattr(list_file, "read"):
        raise SourceError(f"a list of files is a path or a binary stream, and this is {written(list_file)}")
    start = absolute(base if base is not None else os.curdir)
    if isinstance(list_file, (str, bytes, os.PathLike)):
        path = absolute(list_file)
        _open(path).close()
        return Files(lambda: _from_file(path, start))
    stream = list_file
    return Files(lambda: _names(stream, start))


def _open(path: bytes) -> BinaryIO:
    try:
        return open(path, "rb")
    except ValueError as error:  # a zero byte
        raise SourceError(f"{os.fsdecode(path)!r} is no possible name of a list of files") from error
    except OSError as error:
        shown = os.fsdecode(path)
        raise SourceError(
            f"cannot read the list of files {shown!r}: {error.strerror}. Check its name and try again."
        ) from error


def _from_file(path: bytes, base: bytes) -> Iterator[bytes]:
    with _open(path) as stream:
        yield from _names(stream, base)


def _names(stream: BinaryIO, base: bytes) -> Iterator[bytes]:
    """Absolute paths.  Reads in pieces: a list may be longer than memory."""
    piece = _piece(stream)
    separator = b"\0" if b"\0" in piece else b"\n"
    rest = piece.removeprefix(BOM)
    while piece:
        *whole, rest = rest.split(separator)
        yield from (place(name, base) for name in map(_trim(separator), whole) if name)
        piece = _piece(stream)
        rest += piece
    if name := _trim(separator)(rest):
        yield place(name, base)


def _piece(stream: BinaryIO) -> bytes:
    try:
        return stream.read(CHUNK)
    except OSError as error:
        raise SourceError(f"the list of files cannot be read: {error.strerror}") from error


def _trim(separator: bytes) -> Callable[[bytes], bytes]:
    return (lambda name: name.removesuffix(b"\r")) if separator == b"\n" else (lambda name: name)
