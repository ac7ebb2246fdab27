"""Pictures of an object store or a web server, copied into a folder, where they are indexed like any others."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from vsearch import files
from vsearch.errors import DiskFull, IndexNotWritable, SourceError, VsearchError
from vsearch.members.address import KINDS, RAW
from vsearch.members.names import problem
from vsearch.remote.links import Linked, linked
from vsearch.remote.stamps import FILE, Stamps, stamp_of
from vsearch.sources import PICTURE_SUFFIXES
from vsearch.sources.protocol import AnyPath, absolute
from vsearch.sources.suffixes import suffix
from vsearch.types import Progress

WANTED = PICTURE_SUFFIXES | KINDS.keys() | RAW | frozenset(b".txt .caption .json .csv .tsv".split())
"""What is copied: pictures, what can hold pictures, and what can say something of them."""
CONNECTIONS = 8
BLOCK = 1 << 20
_WEB = ("http://", "https://")
FULL = (errno.ENOSPC, errno.EDQUOT)
OF_ALL = (*FULL, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO)
"""Errors that the next file would meet as well."""


@dataclass(frozen=True)
class FetchReport:
    """Files, and bytes of those that were copied.  failures: names, and what went wrong."""

    copied: int
    unchanged: int
    bytes: int
    failures: tuple[tuple[str, str], ...]
    seconds: float


@dataclass(frozen=True)
class _Remote:
    """A file there.  name: below the address that was asked for, and below the folder here."""

    path: str
    name: str
    size: int | None
    stamp: str | None


def fetch(
    url: str,
    folder: AnyPath,
    *,
    connections: int = CONNECTIONS,
    progress: Callable[[Progress], None] | None = None,
) -> FetchReport:
    """Copy what is below ``s3://bucket/photos``, ``gs://…``, ``https://…``, or one file, into a folder.

    Only pictures, archives and captions are copied.  A file that is here already with the size and the version that the
    store tells is not copied again, so that a run that was stopped goes on, and later ones bring what is new.  A file
    appears here when it is whole.  Only a file that changed there is replaced.  Nothing here is ever deleted but what a
    run that was killed left half-copied.
    Raises SourceError for an address that cannot be listed or needs a package that is missing, DiskFull,
    IndexNotWritable for a folder that cannot be written.
    """
    started = time.monotonic()
    place = Path(os.fsdecode(absolute(folder)))
    store, found, left_out = _listed(url)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(error, place) from error
    for parent in {place, *((place / one.name).parent for one in found if not _problem(one.name))}:
        files.remove_leftovers(parent)
    stamps = Stamps(place)
    failures = left_out
    copied = unchanged = size = 0
    with ThreadPoolExecutor(connections) as pool:
        todo = pool.map(lambda one: _copy(store, one, place, stamps), found)
        try:
            for one, told in zip(found, todo, strict=True):
                if isinstance(told, str):
                    failures.append((one.name, told))
                elif told is None:
                    unchanged += 1
                else:
                    copied += 1
                    size += told
                if progress is not None:
                    done = copied + unchanged + len(failures)
                    progress(Progress(done, len(found), copied, len(failures), time.monotonic() - started))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            with suppress(OSError):  # a full disk is told already; without stamps, sizes decide the next time
                stamps.keep()
    return FetchReport(copied, unchanged, size, tuple(failures), time.monotonic() - started)


def _listed(url: str) -> tuple[Any, list[_Remote], list[tuple[str, str]]]:
    """The store, what is wanted of it by name, and what could not be listed."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise SourceError(f"{url!r} needs fsspec; type: pip install 'vsearch-engine[remote]'") from error
    if "://" not in url:
        raise SourceError(f"{url!r} is no address as s3://bucket/photos. What is on this machine: vsearch index {url}")
    # each store has errors of its own, with no common ancestor
    try:
        store, root = url_to_fs(url)
        # a web server answers for a folder as for a file, so that the name has to tell
        single = suffix(os.fsencode(root)) in WANTED and store.isfile(root)
        if single:
            listing = Linked({root: store.info(root)})
        elif root.startswith(_WEB):
            listing = linked(store, root)
        else:
            listing = Linked(store.find(root, detail=True))
    except ImportError as error:
        raise SourceError(f"{url!r}: {error}. Install what it names into the environment of vsearch.") from error
    except Exception as error:
        raise SourceError(f"{url!r} cannot be listed: {_words(error)}. Check the address and your access.") from error
    found = list(_wanted(root.rstrip("/"), listing.files))
    if not found and not listing.failures:
        raise SourceError(f"there is no picture, archive or caption at {url!r}. Check the address.")
    return store, found, listing.failures


def _wanted(root: str, infos: dict[str, Any]) -> Iterator[_Remote]:
    for path, told in sorted(infos.items()):
        if told.get("type", "file") != "file" or suffix(path.encode("utf-8", "replace")) not in WANTED:
            continue
        inside = path.startswith(f"{root}/")
        if inside or path == root:
            name = path[len(root) + 1 :] if inside else path.rpartition("/")[2]
            if path.startswith(_WEB):
                name = unquote(name, errors="surrogateescape")
            if name == FILE:  # of somebody who fetched it: ours is of here
                continue
            size = told.get("size")
            yield _Remote(path, name, size if isinstance(size, int) else None, stamp_of(told))


def _copy(store: Any, one: _Remote, place: Path, stamps: Stamps) -> int | str | None:
    """The bytes that were copied, None when they are here, or why they cannot be."""
    if why := _problem(one.name):
        return why
    target = place / one.name

    def fill(sink: files.Sink) -> None:
        for block in _blocks(store, one.path):
            sink.put(block)
        if one.size is not None and sink.length != one.size:
            raise SourceError(f"{sink.length:,} bytes came, and {one.size:,} were told")

    try:
        if target.is_file() and one.size in (None, target.stat().st_size) and stamps.allow(one.name, one.stamp):
            return None
        target.parent.mkdir(parents=True, exist_ok=True)
        size = files.publish(target, fill).length
    except SourceError as error:
        return str(error)
    except (FileExistsError, IsADirectoryError, NotADirectoryError):
        return f"{target} is in its way, a folder or a file of that name"
    except OSError as error:
        if error.errno in OF_ALL:
            raise _unwritable(error, target) from error
        return f"cannot be written here ({error.strerror})"
    stamps.put(one.name, one.stamp)
    return size


def _problem(name: str) -> str | None:
    """Why no file may have this name; None when it may."""
    try:
        return problem(os.fsencode(name))
    except UnicodeEncodeError:
        return "its name is no text that UTF-8 can hold"


def _blocks(store: Any, path: str) -> Iterator[bytes]:
    try:
        with store.open(path, "rb") as source:
            while block := source.read(BLOCK):
                yield block
    except Exception as error:  # of the store: see above
        raise SourceError(_words(error)) from error


def _unwritable(error: OSError, place: Path) -> VsearchError:
    if error.errno in FULL:
        return DiskFull(
            f"{place}: the disk is full ({error.strerror}); what was copied is whole. Free some space, then type the "
            "same again."
        )
    return IndexNotWritable(f"{place}: cannot be written ({error.strerror}). Name a folder of your own.")


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
