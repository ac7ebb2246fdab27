"""The pictures in a tar or zip archive, as they lie there, with the captions and columns beside them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real

from vsearch.arguments import written
from vsearch.errors import SourceError
from vsearch.members.address import COMPRESSED_TARS, KINDS, MARK, is_archive, is_moving, join, kind_of, seconds_of
from vsearch.members.entry import Contents, Entry, Row, stamp_of
from vsearch.members.lookup import contents, open_archive
from vsearch.sources.frames import frame, frames
from vsearch.sources.names import Names, names
from vsearch.sources.probe import caption_of, scan_failure
from vsearch.sources.protocol import AnyPath, absolute, check_no_address
from vsearch.sources.sidecars import SUFFIXES, beside, columns_of
from vsearch.sources.suffixes import PICTURE_SUFFIXES, suffix
from vsearch.types import Failure, Item, Settings

MOST_PLACES = 5  # damaged places of an archive that are told


@dataclass(frozen=True)
class Archive:
    """The pictures of one archive, in the order of their bytes in it; or frames of a video or an animation.

    every: seconds between frames.  chosen: whether that was asked for, and goes before what an index remembers.
    hidden, exclude: which members are looked at, by their names.
    """

    path: bytes
    every: float = 0.0
    hidden: bool = False
    exclude: tuple[str, ...] = ()
    chosen: bool = False

    @property
    def names(self) -> Names:
        """Which names are looked at."""
        return Names(self.hidden, self.exclude)

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The archive: a member that it no longer has is gone."""
        return (self.path + MARK,)

    @property
    def settings(self) -> dict[bytes, Settings]:
        """The seconds between frames, of a video or an animation."""
        return {self.path + MARK: {"every": self.every}} if self.every else {}

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
            stamp = stamp_of(os.fstat(fd))
            yield from frames(fd, self.path, self.every) if is_moving(self.path) else _members(fd, self)
        except SourceError as error:
            yield Failure(self.path, "scan", str(error), stamp.size, stamp.mtime_ns)
        except OSError as error:
            yield scan_failure(self.path, error)
        finally:
            os.close(fd)


def _members(fd: int, source: Archive) -> Iterator[Item | Failure]:
    archive, rule = source.path, source.names
    table = contents(fd, archive)
    size, mtime_ns = table.stamp.size, table.stamp.mtime_ns
    count = 0
    for name, part in table.entries.items():
        if isinstance(part, Row) or (suffix(name) in PICTURE_SUFFIXES and rule.takes(name)):
            count += 1
            yield from _items(fd, archive, name, table)
    for fault in table.faults:
        told = (_is_picture(fault.name) or _is_sidecar(fault.name, table)) and rule.takes(fault.name)
        if told or not is_archive(archive):
            count += 1
            yield Failure(join(archive, fault.name), "scan", fault.reason, size, mtime_ns)
    if places := [fault.reason for fault in table.faults if not fault.name]:
        count += 1
        more = [f"and {len(places) - MOST_PLACES:,} places more"] if len(places) > MOST_PLACES else []
        yield Failure(archive, "scan", "; ".join(places[:MOST_PLACES] + more), size, mtime_ns)
    if not count:
        yield Failure(archive, "scan", "no pictures in it", size, mtime_ns)


def _items(fd: int, archive: bytes, name: bytes, table: Contents) -> Iterator[Item | Failure]:
    """A member, and failures of what lies beside it and cannot be read."""
    path, stamp = join(archive, name), table.stamp
    if os.path.lexists(path):
        yield Failure(path, "scan", "a file of this very name lies beside the archive, and is what the name means")
        return
    part = table.entries[name]
    if not isinstance(part, Entry):
        yield _row(path, name, table)
        return
    said = beside(fd, table.entries, name)
    yield Item(path, part.size, stamp.mtime_ns, stamp.ctime_ns, said.caption, said.columns)
    for sidecar, reason in said.faults.items():
        yield Failure(join(archive, sidecar), "scan", reason, stamp.size, stamp.mtime_ns)


def _row(path: bytes, name: bytes, table: Contents) -> Item | Failure:
    """A picture in a table or an array."""
    stamp = table.stamp
    caption, values = table.said.get(name, (None, None))
    try:
        columns = columns_of(values) if values else None
    except SourceError as error:
        return Failure(path, "scan", str(error), stamp.size, stamp.mtime_ns)
    return Item(path, stamp.size, stamp.mtime_ns, stamp.ctime_ns, caption_of(caption), columns)


def _is_picture(name: bytes) -> bool:
    """Whether a member is one by its name; one of several of a name has its number behind it."""
    return suffix(_unnumbered(name)) in PICTURE_SUFFIXES


def _unnumbered(name: bytes) -> bytes:
    stem, _, number = name.rpartition(b"#")
    return stem if number.isdigit() else name


def _is_sidecar(fault: bytes, table: Contents) -> bool:
    """Whether what cannot be read would say something of a picture that can."""
    name = _unnumbered(fault)
    stem = name[: len(name) - len(suffix(name))]
    return suffix(name) in SUFFIXES and any(stem + end in table.entries for end in PICTURE_SUFFIXES)


def member(archive: bytes, name: bytes) -> Iterator[Item | Failure]:
    """One member, named by its address; and failures of what lies beside it."""
    path = join(archive, name)
    try:
        fd = open_archive(archive)
    except OSError as error:
        yield scan_failure(path, error)
        return
    try:
        yield from _moment(fd, archive, name) if is_moving(archive) else _member(fd, archive, name)
    except SourceError as error:
        yield Failure(path, "scan", str(error))
    except OSError as error:
        yield scan_failure(path, error)
    finally:
        os.close(fd)


def _moment(fd: int, archive: bytes, name: bytes) -> Iterator[Item | Failure]:
    seconds = seconds_of(name)
    if seconds is None:
        yield Failure(join(archive, name), "scan", "no moment, as in #t=83.2")
    else:
        yield from frame(fd, archive, seconds)


def _member(fd: int, archive: bytes, name: bytes) -> Iterator[Item | Failure]:
    table = contents(fd, archive)
    if name in table.entries:
        yield from _items(fd, archive, name, table)
        return
    reason = next(
        (fault.reason for fault in table.faults if fault.name == name), "there is no such member in the archive"
    )
    yield Failure(join(archive, name), "scan", reason, table.stamp.size, table.stamp.mtime_ns)


EVERY = 10.0


def archive(path: AnyPath, *, every: float | None = None, hidden: bool = False, exclude: Sequence[str] = ()) -> Archive:
    """The pictures in a ``.tar`` (also of webdataset and img2dataset), ``.zip`` or ``.cbz`` file.

    Or those in the rows of a ``.parquet``, ``.npz`` or ``.h5`` file; or the frames of a video (and the first of each of
    its scenes) or of an animated GIF or WebP, one each ``every`` seconds: 10, or as an index remembers it.
    They are read where they lie; nothing is unpacked to disk.  Their addresses are ``photos.zip#name``.
    A caption is in ``key.txt`` or ``key.caption``, or is ``caption`` in ``key.json``, beside ``key.jpg``; whatever
    else the JSON says becomes columns.  hidden: also members on whose way a name starts with a dot.  exclude: patterns
    in gitignore's syntax of members that are left out; what Macs put into ``__MACOSX`` is anyway.
    Raises SourceError when there is no such file or it is none that can be read member by member.
    """
    where = absolute(path)
    check_no_address(path)
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
    check_every(every)
    rule = names(hidden, exclude)
    return Archive(where, (every or EVERY) if is_moving(where) else 0.0, hidden, rule.exclude, every is not None)


def check_every(every: float | None) -> None:
    """Raise SourceError unless a time between two frames is a number of seconds above 0, or None."""
    if every is not None and not (isinstance(every, Real) and not isinstance(every, bool) and every > 0):
        raise SourceError(f"the time between two frames is {written(every)}; it is a number of seconds above 0")


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
