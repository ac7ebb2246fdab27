"""Adding pictures and forgetting them, for servers that were started with --writable."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vsearch import files
from vsearch.bounds import size_and_times
from vsearch.decode.formats import picture_format
from vsearch.errors import NotAnImage
from vsearch.server import answers, schemas
from vsearch.server.collection import Collection
from vsearch.server.faults import Refused
from vsearch.store.layout import Layout
from vsearch.types import Item

if TYPE_CHECKING:
    from vsearch.index import Index
    from vsearch.server.service import Service

_SUFFIXES = {"JPEG": "jpg", "WebP": "webp"}
_MOST_STEM = 60


class _One:
    """A source of one picture, with what its sender says of it."""

    roots: tuple[bytes, ...] = ()

    def __init__(self, item: Item) -> None:
        self._item = item

    def __iter__(self) -> Iterator[Item]:
        yield self._item


def add(service: Service, asked: schemas.NewItem) -> schemas.Added:
    """Keep a picture in the folder NAME.uploads beside the index, and index it."""
    collection = _writable(service, asked.collection)
    kind = picture_format(asked.image[:16])
    if kind is None:
        raise NotAnImage("the first bytes are of no supported format")
    path = _place(collection, asked, kind)
    made = _write(path, asked.image)

    def added(index: Index) -> schemas.Added:
        told = path.stat()
        one = Item(os.fsencode(path), *size_and_times(told), answers.text(asked.caption))
        report = index.add(_One(one), workers=1, retry_failed=True)
        with index.store.snapshot() as snapshot:
            id = snapshot.at_path(os.fsencode(path))
        if id is None:
            raise NotAnImage(report.failures[0].reason if report.failures else "it could not be read")
        return schemas.Added(id, known=not report.added)

    try:
        return collection.change(added)
    except BaseException:
        if made:
            files.discard(path)
        raise


def remove(service: Service, id: int, asked: schemas.Of) -> schemas.Removed:
    """Forget a picture; its file is deleted only if it came by POST /items."""
    collection = _writable(service, asked.collection)

    def removed(index: Index) -> bytes:
        with index.store.snapshot() as snapshot:
            path = answers.record_of(snapshot, id).path
        index.remove([id])
        return path

    path = collection.change(removed)
    if os.path.dirname(path) == os.fsencode(_folder(collection)):
        files.discard(Path(os.fsdecode(path)))
    return schemas.Removed(1)


def _writable(service: Service, name: str | None) -> Collection:
    """A collection that may be changed; shards never are, so that ``Settings`` refuses both together."""
    collection = service.collection(name) if service.settings.writable else None
    if not isinstance(collection, Collection):
        raise Refused(403, "ReadOnly", "this server only reads; start it with --writable to change collections")
    return collection


def _folder(collection: Collection) -> Path:
    return Layout(Path(collection.path)).uploads


def _place(collection: Collection, asked: schemas.NewItem, kind: str) -> Path:
    """A path that depends on the content: the same picture sent twice is one file."""
    stem = re.sub(r"[^\w-]+", "-", Path(asked.name).stem, flags=re.ASCII).strip("-")[:_MOST_STEM] or "picture"
    digest = hashlib.sha256(asked.image).hexdigest()[:16]
    return _folder(collection) / f"{stem}-{digest}.{_SUFFIXES.get(kind, kind.lower())}"


def _write(path: Path, data: bytes) -> bool:
    """Make the file, durable; False when it is there already."""
    if not path.parent.is_dir():
        with suppress(FileExistsError):  # made in between for another picture
            files.make_dir(path.parent)
    if path.exists():
        return False
    with files.storage_errors(path.parent):
        files.publish(path, lambda sink: sink.put(data))
    return True
