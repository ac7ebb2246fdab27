"""The files of the page: a fixed list, read once, so that no request ever names a path."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from starlette.responses import Response

from vsearch.server.faults import Refused

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOLDER = files("vsearch.server").joinpath("page")
FILES = {
    entry.name: _TYPES[Path(entry.name).suffix] for entry in _FOLDER.iterdir() if Path(entry.name).suffix in _TYPES
}


def page_file(name: str) -> Response:
    """One of them.  Raises Refused (404)."""
    if name not in FILES:
        raise Refused(404, "NotFound", "there is no such page")
    return Response(_read(name), media_type=FILES[name], headers={"Cache-Control": "private, no-cache"})


@cache
def _read(name: str) -> bytes:
    return _FOLDER.joinpath(name).read_bytes()
