"""Errors as clients may see them: never a path, never a trace."""

from __future__ import annotations

import logging
import secrets
import traceback

import msgspec
from starlette.responses import Response

from vsearch.errors import (
    DecodeError,
    DecodeTimeout,
    DimensionMismatch,
    FilterError,
    IndexLocked,
    IndexNotWritable,
    QueryError,
    VsearchError,
)
from vsearch.present.names import printable
from vsearch.server.schemas import Fault, Problem

log = logging.getLogger("vsearch.server")


class Refused(Exception):
    """A request that gets no answer.  kind: one word.  message: for whoever sent it."""

    def __init__(self, status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.headers = status, kind, headers or {}


def busy(message: str = "too many requests at once; try again in a second") -> Refused:
    """The server has enough to do."""
    return Refused(503, "Busy", message, {"Retry-After": "1"})


# Errors of the library, with what may be said of them.  Only those of the first group are about the request alone, and
# only their own words are passed on: the others name files.
_TOLD = (QueryError, FilterError, DimensionMismatch)
_WORDS: tuple[tuple[type[VsearchError], int, str], ...] = (
    (DecodeTimeout, 422, "decoding the picture took too long"),
    (DecodeError, 422, "the picture cannot be read: it is damaged, too large, or of a format that is not supported"),
    (IndexLocked, 409, "another process writes to this collection; try again later"),
    (IndexNotWritable, 409, "this collection cannot be changed now"),
    (VsearchError, 503, "this collection cannot answer now; the log of the server says why"),
)


def refusal(error: Exception) -> Refused:
    """Any error as what a client may see."""
    if isinstance(error, Refused):
        return error
    kind = type(error).__name__
    if isinstance(error, _TOLD):
        return Refused(422, kind, str(error))
    for known, status, message in _WORDS:
        if isinstance(error, known):
            return Refused(status, kind, message)
    return Refused(500, "InternalError", "the server has made a mistake; its log says more")


def _trace(error: Exception) -> str:
    """What happened, indented and without what a terminal would obey: what clients send cannot pose as a line."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(f"  {printable(line)}" for line in lines)


def response(error: Exception) -> Response:
    """The answer to a request that failed; what is the server's own fault is logged, under the same id."""
    refused = refusal(error)
    id = secrets.token_hex(8)
    if refused.status >= 500 and refused is not error:
        log.error("%s: %s\n%s", id, refused.kind, _trace(error))
    body = msgspec.json.encode(Problem(Fault(refused.kind, str(refused), id)))
    return Response(body, refused.status, refused.headers, "application/json")
