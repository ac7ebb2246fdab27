"""The table of routes: what each takes, what it gives, and what answers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vsearch.server import ask, browse, change, metrics, plane, schemas, show
from vsearch.server.faults import Refused

if TYPE_CHECKING:
    from vsearch.server.service import Service

MOST_ID = 2**53 - 1


@dataclass(frozen=True)
class Endpoint:
    """One route.  answer: gets the service, the id where the path has one, and what was asked, in a thread.

    asks: query parameters.  takes: the JSON body, instead of them.  gives: a schema, or media types.
    cached: it also gets what the client has already, as ``If-None-Match`` says.  public: for those who have no token,
    who cost no thread; it also gets the request.
    """

    method: str
    path: str
    summary: str
    answer: Callable[..., Any]
    asks: type[schemas.In] = schemas.Nothing
    takes: type[schemas.In] | None = None
    gives: type[schemas.Out] | tuple[str, ...] = ("text/plain",)
    status: int = 200
    cached: bool = False
    public: bool = False

    @property
    def has_id(self) -> bool:
        """Whether its path names a picture."""
        return "{id}" in self.path


def _health(service: Service, _: schemas.Nothing) -> schemas.Health:
    for collection in service.collections.values():
        collection.count()
    return schemas.Health("ok")


def _metrics(service: Service, _: schemas.Nothing) -> Response:
    return Response(service.metrics.text(), media_type=metrics.MEDIA_TYPE)


def _session(service: Service, asked: schemas.Session, request: Request) -> Response:
    client = request.client.host if request.client else ""
    cookie = service.tokens.cookie(asked.token, request.headers, client)
    return Response(status_code=204, headers={"Set-Cookie": cookie})


PICTURES = tuple(sorted(show.MEDIA_TYPES.values()))
ENDPOINTS = (
    Endpoint("POST", "/search", "Search", ask.search, takes=schemas.Search, gives=schemas.Answer),
    Endpoint("GET", "/similar/{id}", "More like this", ask.similar, schemas.Similar, gives=schemas.Answer),
    Endpoint("GET", "/items/{id}", "What is known of a picture", show.item, schemas.Of, gives=schemas.Item),
    Endpoint("GET", "/thumbs/{id}", "A small JPEG", show.thumb, schemas.Thumb, gives=("image/jpeg",), cached=True),
    Endpoint("GET", "/image/{id}", "The picture's own file", show.image, schemas.Of, gives=PICTURES, cached=True),
    Endpoint("POST", "/classify", "Tell labels apart", ask.classify, takes=schemas.Classify, gives=schemas.Classes),
    Endpoint("GET", "/collections", "What there is to search", show.collections, gives=schemas.Collections),
    Endpoint("GET", "/browse", "All pictures, newest first", browse.browse, schemas.Similar, gives=schemas.Answer),
    Endpoint("GET", "/map", "The collection on a plane", plane.plane, schemas.Of, gives=schemas.Map),
    Endpoint("GET", "/facets", "Counts for filters", show.count, schemas.Filtered, gives=schemas.Facets),
    Endpoint("POST", "/items", "Add a picture", change.add, takes=schemas.NewItem, gives=schemas.Added, status=201),
    Endpoint("DELETE", "/items/{id}", "Forget a picture", change.remove, schemas.Of, gives=schemas.Removed),
    Endpoint(
        "POST", "/session", "The token for a cookie", _session, takes=schemas.Session, gives=(), status=204, public=True
    ),
    Endpoint("GET", "/healthz", "Whether all collections answer", _health, gives=schemas.Health),
    Endpoint("GET", "/metrics", "Counts and times for Prometheus", _metrics, gives=("text/plain",)),
)


async def respond(service: Service, endpoint: Endpoint, request: Request) -> Response:
    """Read what is asked, answer it, in a thread where that takes time.  Raises Refused, VsearchError."""
    asked = await (_body(request, endpoint.takes) if endpoint.takes else _parameters(request, endpoint.asks))
    if endpoint.public:
        return _answered(endpoint, service, (asked, request))
    given = (_id(request), asked) if endpoint.has_id else (asked,)
    if endpoint.cached:
        given = (*given, request.headers.get("if-none-match"))
    job = partial(_answered, endpoint, service, given)
    return await service.work.do(job)


def _answered(endpoint: Endpoint, service: Service, given: tuple[Any, ...]) -> Response:
    told = endpoint.answer(service, *given)
    if isinstance(told, Response):
        return told
    return Response(msgspec.json.encode(told), endpoint.status, media_type="application/json")


def _id(request: Request) -> int:
    told = request.path_params["id"]
    if not (told.isascii() and told.isdecimal() and len(told) <= 16 and int(told) <= MOST_ID):
        raise Refused(404, "NotFound", "there is no such picture")
    return int(told)


async def _body(request: Request, schema: type[schemas.In]) -> Any:
    """The JSON of a body.  A form of another site cannot send that type without asking first, which is refused."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "NotJson", "send JSON, with Content-Type: application/json")
    if request.query_params:
        raise Refused(422, "Invalid", "this route takes its parameters in the body")
    raw = bytearray()  # not request.body(), which would stay as long as the request
    async for piece in request.stream():
        raw += piece
    try:
        return msgspec.json.decode(raw, type=schema)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _invalid(error) from None


async def _parameters(request: Request, schema: type[schemas.In]) -> Any:
    told = request.query_params.multi_items()
    if len(dict(told)) != len(told):
        raise Refused(422, "Invalid", "a parameter is there twice")
    try:
        return msgspec.convert(dict(told), schema, strict=False)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise _invalid(error) from None


def _invalid(error: Exception) -> Refused:
    words = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return Refused(422, "Invalid", f"this is not what the route takes: {words[:500]}")
