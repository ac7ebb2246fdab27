"""What is there: collections, one picture with its file and its thumbnail, counts for filters."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from vsearch.decode import Limits as DecodeLimits
from vsearch.decode.formats import picture_format
from vsearch.filters import facets
from vsearch.server import answers, schemas
from vsearch.server.opening import Opened, open_picture
from vsearch.server.shards import Shards

if TYPE_CHECKING:
    from vsearch.index import Index
    from vsearch.server.service import Service

# What browsers show and vsearch knows by its first bytes; anything else leaves as a JPEG made here.
MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WebP": "image/webp", "AVIF": "image/avif"}
REMADE_SIDE = 2048
_CHUNK = 1 << 18
_PICTURE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cache-Control": "private, no-cache",
}


def collections(service: Service, _: schemas.Nothing) -> schemas.Collections:
    """List what there is to search."""
    writable = service.settings.writable
    described = partial(answers.collection, writable=writable, reranks=service.reranking is not None)
    return schemas.Collections(
        [
            one.described() if isinstance(one, Shards) else one.ask(partial(described, name=one.name))
            for one in service.collections.values()
        ]
    )


def item(service: Service, id: int, asked: schemas.Of) -> schemas.Item:
    """Tell all that is known of one picture."""
    collection, own = service.collection(asked.collection).holding(id)
    told = collection.ask(lambda index: answers.item(index, own))
    told.id = id
    return told


def count(service: Service, asked: schemas.Filtered) -> schemas.Facets:
    """Count folders, months and frequent values among the pictures of a filter."""

    def counted(index: Index) -> schemas.Facets:
        with index.store.snapshot() as snapshot:
            told = facets.count(index.columns, snapshot, asked.where)

        def values(pairs: list[tuple[str, int]]) -> list[schemas.Value]:
            return [schemas.Value(answers.text(value) or "", number) for value, number in pairs]

        columns = [schemas.Facet(name, values(pairs)) for name, pairs in told.columns.items()]
        return schemas.Facets(told.total, values(told.folders), values(told.months), columns)

    return service.collection(asked.collection).ask(counted)


def thumb(service: Service, id: int, asked: schemas.Thumb, have: str | None) -> Response:
    """Send a picture as a small JPEG without metadata."""
    collection, own = service.collection(asked.collection).holding(id)
    opened, name = collection.ask(lambda index: _opened(index, own))
    try:
        return _jpeg(service, opened, asked.size, f'"{name}-{asked.size}"', have)
    finally:
        os.close(opened.fd)


def image(service: Service, id: int, asked: schemas.Of, have: str | None) -> Response:
    """Send the file itself, if it is of a format that browsers show; else a large JPEG of it."""
    collection, own = service.collection(asked.collection).holding(id)
    opened, name = collection.ask(lambda index: _opened(index, own))
    with ExitStack() as unless_sent:
        file = unless_sent.enter_context(open(opened.fd, "rb", buffering=0))
        media_type = MEDIA_TYPES.get(picture_format(os.pread(opened.fd, 16, 0)) or "")
        if media_type is None or opened.part is not None:
            return _jpeg(service, opened, REMADE_SIDE, f'"{name}-{REMADE_SIDE}"', have)
        if have == f'"{name}"':
            return _unchanged(have)
        unless_sent.pop_all()
        return _Original(file, media_type, f'"{name}"')


def _opened(index: Index, id: int) -> tuple[Opened, str]:
    """A picture's open file and a name for what is in it now.  Raises Refused (404)."""
    with index.store.snapshot() as snapshot:
        record, roots = answers.record_of(snapshot, id), snapshot.roots()
    opened = open_picture(record.path, roots, DecodeLimits().max_bytes)
    told = f"{record.content.hex()}-{opened.status.st_size}-{opened.status.st_mtime_ns}"
    return opened, hashlib.sha256(told.encode()).hexdigest()[:32]


def _jpeg(service: Service, opened: Opened, side: int, tag: str, have: str | None) -> Response:
    if have == tag:
        return _unchanged(have)
    return Response(
        service.pixels.jpeg(opened.fd, side, opened.part),
        headers=_PICTURE_HEADERS | {"ETag": tag},
        media_type="image/jpeg",
    )


def _unchanged(tag: str) -> Response:
    return Response(status_code=304, headers=_PICTURE_HEADERS | {"ETag": tag})


class _Original(StreamingResponse):
    """Sends an open file piece by piece, as long as it was when it was opened, and closes it.  Ends with its client."""

    def __init__(self, file: BinaryIO, media_type: str, tag: str) -> None:
        self._file = file
        self._length = os.fstat(file.fileno()).st_size
        headers = {**_PICTURE_HEADERS, "ETag": tag, "Content-Length": str(self._length)}
        super().__init__(self._pieces(), headers=headers, media_type=media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            if scope["method"] == "HEAD":
                self._length = 0
            await super().__call__(scope, receive, send)

    async def _pieces(self) -> AsyncIterator[bytes]:
        left = self._length
        while left:
            piece = await run_in_threadpool(self._file.read, min(left, _CHUNK))
            if not piece:
                raise OSError("a picture got shorter while it was sent")
            left -= len(piece)
            yield piece
