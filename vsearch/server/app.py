"""The ASGI application: the table of routes, the page's files, and the guard around them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from vsearch.server import faults
from vsearch.server.endpoints import ENDPOINTS, respond
from vsearch.server.faults import Refused
from vsearch.server.guard import Guard
from vsearch.server.openapi import document
from vsearch.server.page_files import page_file

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from vsearch.server.service import Service

    Handler = Callable[[Request], Awaitable[Response]]

_KINDS = {404: "NotFound", 405: "MethodNotAllowed"}


def application(service: Service) -> ASGIApp:
    """Everything that answers requests."""
    routes = [
        Route(e.path, partial(_timed, service, e.path, partial(respond, service, e)), methods=[e.method])
        for e in ENDPOINTS
    ]
    routes += _fixed(service)
    app = Starlette(routes=routes, exception_handlers={Exception: _failed, HTTPException: _refused})
    app.router.redirect_slashes = False  # a redirect would repeat what the Host header says
    return Guard(app, service.settings, service.tokens)


def _fixed(service: Service) -> list[Route]:
    """Routes whose answers are known beforehand."""
    from vsearch import __version__

    described = msgspec.json.encode(document(__version__))

    async def page(request: Request) -> Response:
        return page_file(request.path_params.get("name", "index.html"))

    async def openapi(_: Request) -> Response:
        return Response(described, media_type="application/json")

    told: tuple[tuple[str, Handler], ...] = (("/", page), ("/page/{name}", page), ("/openapi.json", openapi))
    return [Route(path, partial(_timed, service, path, handler), methods=["GET"]) for path, handler in told]


async def _timed(service: Service, route: str, handler: Handler, request: Request) -> Response:
    """Answer, errors too, and count it."""
    started = time.perf_counter()
    try:
        response = await handler(request)
    except ClientDisconnect:
        return Response(status_code=499)  # reaches nobody
    except Exception as error:
        response = faults.response(error)
    service.metrics.note(route, response.status_code, time.perf_counter() - started)
    return response


def _failed(_: Request, error: Any) -> Response:
    return faults.response(error)


def _refused(_: Request, error: Any) -> Response:
    """What the router says when no route fits."""
    kind = _KINDS.get(error.status_code, "Refused")
    words = "there is no such route, or not for this method; GET /openapi.json lists what there is"
    headers = dict(error.headers or {})
    return faults.response(Refused(error.status_code, kind, words, headers))
