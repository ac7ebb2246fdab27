"""Names of pictures inside archives: the archive's path, ``#``, and the name inside.  Imports nothing heavy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

MARK = b"#"
ARCHIVES = {b".tar": "tar", b".zip": "zip", b".cbz": "zip"}
TABLES = {b".parquet": "parquet", b".npz": "npz", b".h5": "hdf5", b".hdf5": "hdf5"}
MOVING = {b".gif": "animation", b".webp": "animation"} | dict.fromkeys(
    b".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .wmv .3gp .mts .m2ts".split(), "video"
)
KINDS = ARCHIVES | TABLES | MOVING
"""What the suffix of a file says of it, for those that can be read member by member."""

COMPRESSED_TARS = (b".tar.gz", b".tgz", b".tar.bz2", b".tbz2", b".tar.xz", b".txz", b".tar.zst", b".tzst")


def kind_of(path: bytes) -> str | None:
    """The kind of archive that a file's name announces; None for any other file."""
    return KINDS.get(os.path.splitext(path)[1].lower())


RAW = frozenset(b".cr2 .cr3 .nef .nrw .arw .dng .raf .orf .rw2 .pef .srw".split())
"""Suffixes of files as cameras' sensors give them."""


def is_raw(name: bytes) -> bool:
    """Whether a name is that of a RAW file."""
    return os.path.splitext(name)[1].lower() in RAW


def is_archive(name: bytes) -> bool:
    """Whether a name is that of a tar or zip; what those of tables hold is mostly something else than pictures."""
    return kind_of(name) in ARCHIVES.values()


def is_moving(name: bytes) -> bool:
    """Whether a name is that of a video or of a picture that may be an animation."""
    return kind_of(name) in MOVING.values()


def join(archive: bytes, name: bytes) -> bytes:
    """The address of a member."""
    return archive + MARK + name


def split(path: bytes) -> tuple[bytes, bytes] | None:
    """An address as archive and name, by its looks alone; None for the path of an ordinary file."""
    return next(candidates(path), None)


def candidates(path: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every way to read an address: the names of folders, archives and members may contain ``#`` themselves."""
    at = path.find(MARK)
    while at >= 0:
        if at + 1 < len(path) and kind_of(path[:at]):
            yield path[:at], path[at + 1 :]
        at = path.find(MARK, at + 1)


def resolve(path: bytes) -> tuple[bytes, bytes] | None:
    """Archive and name of a member whose archive is there; None where a file has that very name, or none has."""
    if MARK not in path or os.path.lexists(path):
        return None
    return next((pair for pair in candidates(path) if os.path.isfile(pair[0])), None)


def is_there(path: bytes) -> bool:
    """Whether a picture's file, or the archive that it is in, exists."""
    return os.path.exists(path) or resolve(path) is not None


def covered(root: bytes) -> bytes:
    """What the paths of all pictures of a source's root begin with: a folder's, or an archive's (``x.tar#``)."""
    inside_archive = root.endswith(MARK) and kind_of(root[:-1]) is not None
    return root if inside_archive else root.rstrip(b"/") + b"/"


def covers(prefix: bytes, path: bytes) -> bool:
    """Whether what ``covered`` gave is of the folder or archive that a picture is in.

    A file in a folder that is named as a member would be (``trip.zip#x/`` beside ``trip.zip``) is none of the archive.
    """
    return path.startswith(prefix) and (prefix.endswith(b"/") or not os.path.lexists(path))


_MOMENT = re.compile(rb"t=(\d{1,7}(?:\.\d{1,3})?)")


def moment_name(seconds: float) -> bytes:
    """The name of a frame: ``t=83.2``, to the millisecond."""
    return b"t=" + f"{seconds:.3f}".rstrip("0").rstrip(".").encode()


def seconds_of(name: bytes) -> float | None:
    """The time that a frame's name tells; None for any other name."""
    found = _MOMENT.fullmatch(name)
    return float(found[1]) if found else None
