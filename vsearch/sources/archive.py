"""The pictures in a tar or zip archive, as they lie there, with the captions and columns beside them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vsearch.errors import SourceError
from vsearch.members.address import COMPRESSED_TARS, KINDS, MARK, is_archive, is_moving, join, kind_of, seconds_of
from vsearch.members.entry import Contents, Entry, Row
from vsearch.members.lookup import contents, open_archive
from vsearch.sources.look import clean_caption, scan_failure
from vsearch.sources.moving import frame, frames
from vsearch.sources.protocol import AnyPath, absolute
from vsearch.sources.sidecars import beside, columns_of
from vsearch.sources.suffixes import PICTURE_SUFFIXES, suffix
from vsearch.types import Failure, Item


@dataclass(frozen=True)
class Archive:
    """The pictures of one archive, in the order of their bytes in it; or frames of a video or an animation.

    every: seconds between frames.
    """

    path: bytes
    every: float = 0.0

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The archive: a member that it no longer has is gone."""
        return (self.path + MARK,)

    def walk(self) -> Iterator[Archive]:
        """The archive itself."""
        yield self

    def __iter__(self) -> Iterator[Item | Failure]:
        """Read its table of contents; what is wrong with a member, or with the archive, is a failure."""
        try:
            fd = open_archive(self.path)
        except OSError as error:
            yield scan_failure(self.path, error)
            return
        try:
            status = os.fstat(fd)
            yield from frames(fd, self.path, self.every) if is_moving(self.path) else _members(fd, self.path)
        except SourceError as error:
            yield Failure(self.path, "scan", str(error), status.st_size, status.st_mtime_ns)
        except OSError as error:
            yield scan_failure(self.path, error)
        finally:
            os.close(fd)


def _members(fd: int, archive: bytes) -> Iterator[Item | Failure]:
    told = contents(fd, archive)
    count = 0
    for name, part in told.entries.items():
        if isinstance(part, Row) or suffix(name) in PICTURE_SUFFIXES:
            count += 1
            yield _item(fd, archive, name, told)
    for fault in told.faults:
        path = join(archive, fault.name) if fault.name else archive
        if not is_archive(archive) or not fault.name or _is_picture(fault.name):
            count += 1
            yield Failure(path, "scan", fault.reason, told.stamp.size, told.stamp.mtime_ns)
    if not count:
        yield Failure(archive, "scan", "no pictures in it", told.stamp.size, told.stamp.mtime_ns)


def _item(fd: int, archive: bytes, name: bytes, told: Contents) -> Item | Failure:
    path, stamp = join(archive, name), told.stamp
    if os.path.lexists(path):
        return Failure(path, "scan", "a file of this very name lies beside the archive, and is what the name means")
    part = told.entries[name]
    if not isinstance(part, Entry):
        caption, values = told.said.get(name, (None, None))
        columns = columns_of(values) if values else None
        caption = clean_caption(caption.encode("utf-8", "surrogatepass")) if caption else None
        return Item(path, stamp.size, stamp.mtime_ns, stamp.ctime_ns, caption, columns)
    caption, columns = beside(fd, told.entries, name)
    return Item(path, part.size, stamp.mtime_ns, stamp.ctime_ns, caption, columns)


def _is_picture(name: bytes) -> bool:
    """Whether a member is one by its name; one of several of a name has its number behind it."""
    stem, _, number = name.rpartition(b"#")
    return suffix(stem if number.isdigit() else name) in PICTURE_SUFFIXES


def member(archive: bytes, name: bytes) -> Item | Failure:
    """One member, named by its address."""
    path = join(archive, name)
    try:
        fd = open_archive(archive)
    except OSError as error:
        return scan_failure(path, error)
    try:
        if is_moving(archive):
            seconds = seconds_of(name)
            return Failure(path, "scan", "no moment, as in #t=83.2") if seconds is None else frame(fd, archive, seconds)
        told = contents(fd, archive)
        if name not in told.entries:
            return Failure(path, "scan", "there is no such member in the archive", told.stamp.size, told.stamp.mtime_ns)
        return _item(fd, archive, name, told)
    except SourceError as error:
        return Failure(path, "scan", str(error))
    except OSError as error:
        return scan_failure(path, error)
    finally:
        os.close(fd)


EVERY = 10.0


def archive(path: AnyPath, *, every: float = EVERY) -> Archive:
    """The pictures in a ``.tar`` (also of webdataset and img2dataset), ``.zip`` or ``.cbz`` file.

    Or those in the rows of a ``.parquet``, ``.npz`` or ``.h5`` file; or, every so many seconds, the frames of a video
    (and the first of each of its scenes) or of an animated GIF or WebP.
    They are read where they lie; nothing is unpacked to disk.  Their addresses are ``photos.zip#name``.
    A caption is in ``key.txt`` or ``key.caption``, or is ``caption`` in ``key.json``, beside ``key.jpg``; whatever
    else the JSON says becomes columns.
    Raises SourceError when there is no such file or it is none that can be read member by member.
    """
    where = absolute(path)
    shown = os.fsdecode(where)
    if is_compressed_tar(where):
        raise SourceError(
            f"{shown!r}: pictures in a compressed tar cannot be reached without unpacking all of it. Pictures are "
            "compressed already, so take that compression off once, as in: gunzip photos.tar.gz"
        )
    if kind_of(where) is None:
        known = ", ".join(os.fsdecode(ending) for ending in KINDS)
        raise SourceError(f"{shown!r} is no archive that can be read; its name would end in one of: {known}")
    if not os.path.isfile(where):
        raise SourceError(f"there is no archive {shown!r}. Check the name, and that the disk is there.")
    if not every > 0:
        raise SourceError("the time between two frames must be more than 0 seconds")
    return Archive(where, every if is_moving(where) else 0.0)


def is_compressed_tar(path: bytes) -> bool:
    """Whether a name is that of a compressed tar."""
    return path.lower().endswith(COMPRESSED_TARS)


def opened(found: Iterable[Item | Failure | Archive]) -> Iterator[Item | Failure]:
    """What a walk shows, with the members of archives in place of them."""
    for one in found:
        if isinstance(one, Archive):
            yield from one
        else:
            yield one
