"""Pictures in the arrays of an ``.npz`` file (numpy.lib.format).  Pickles in it are never loaded."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from typing import IO, BinaryIO

from vsearch.errors import SourceError
from vsearch.members import zip
from vsearch.members.entry import Entry, Fault, Member, Row
from vsearch.members.rows import why_no_pictures

SUFFIX = b".npy"


def scan(file: BinaryIO, length: int) -> Iterator[Member | Fault]:
    """Each picture of each array of pictures, named ``array/17``.

    Arrays that cannot be read are faults; those of something else than pictures only where there are no pictures.
    Raises SourceError.
    """
    others: list[Fault] = []
    found = False
    for member in zip.scan(file, length):
        if isinstance(member, Fault):
            yield member
        elif member.name.endswith(SUFFIX) and isinstance(member.part, Entry):
            try:
                name = member.name.decode()
                count = _count(file, name, member.part.size)
            except NoPictures as error:
                others.append(Fault(member.name, str(error)))
            except SourceError as error:
                yield Fault(member.name, str(error))
            except UnicodeDecodeError:
                yield Fault(member.name, "its name is not UTF-8")
            else:
                found = True
                stem = member.name[: -len(SUFFIX)]
                for index in range(count):
                    yield Member(b"%s/%d" % (stem, index), Row("npz", name, index))
    if not found:
        yield from others


class NoPictures(SourceError):
    """An array of something else."""


def _count(file: BinaryIO, name: str, size: int) -> int:
    """How many pictures an array has.  Raises NoPictures, and SourceError when it does not hold its shape."""
    try:
        with zipfile.ZipFile(file) as packed, packed.open(name) as stream:
            shape = shape_of(stream)
            if stream.tell() + math.prod(shape) != size:
                raise SourceError(f"its shape, {' x '.join(map(str, shape))}, is not that of the bytes it has")
    except SourceError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the parser trips over is damage
        raise SourceError("no array that can be read") from error
    return shape[0]


def shape_of(stream: IO[bytes]) -> tuple[int, ...]:
    """The shape of an array of pictures; the stream is left where its numbers begin.  Raises SourceError."""
    from numpy.lib import format

    version = format.read_magic(stream)
    read = {(1, 0): format.read_array_header_1_0, (2, 0): format.read_array_header_2_0}.get(version)
    if read is None:
        raise SourceError("an array of a version that is not read")
    shape, by_column, dtype = read(stream, max_header_size=10_000)
    if dtype.hasobject:
        raise NoPictures("it holds Python objects, which would have to be unpickled, and are not")
    if why := why_no_pictures(shape, dtype):
        raise NoPictures(why)
    if by_column:
        raise SourceError("its numbers are in Fortran's order; save it with numpy.ascontiguousarray")
    return tuple(shape)
