"""A client for the tests of the server: plain http.client and plain sockets, so that nothing tidies what is sent."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vsearch.server import Settings, running
from vsearch.server.endpoints import ENDPOINTS

TOKEN = "test-token-of-the-length-that-is-needed-0123456789"


@dataclass
class Answer:
    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def kind(self) -> str:
        return self.json["error"]["kind"]


@dataclass
class Client:
    """Speaks to one server.  token: what it sends; None for nothing."""

    host: str
    port: int
    token: str | None = None

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """headers: names with ``_`` for ``-``.  body: bytes as they are, anything else as JSON."""
        told = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            told["Content-Type"] = "application/json"
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = HTTPConnection(self.host, self.port, timeout=20)
        try:
            connection.request(method, path, body, told)
            answer = connection.getresponse()
            return Answer(answer.status, answer.msg, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, None, **headers)

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        return self.ask("POST", path, body, **headers)

    def search(self, **asked: Any) -> Any:
        answer = self.post("/search", asked)
        assert answer.status == 200, answer.body
        return answer.json

    def raw(self, sent: bytes) -> bytes:
        """Send bytes, return all that comes until the server closes or resets the connection."""
        told = []
        with socket.create_connection((self.host, self.port), timeout=20) as sock, suppress(ConnectionError):
            sock.sendall(sent)
            while piece := sock.recv(1 << 16):
                told.append(piece)
        return b"".join(told)


@contextmanager
def serving(*paths: Path, token: str | None = TOKEN, **options: Any) -> Iterator[Client]:
    """A server on a free port of loopback, and a client for it that knows its token."""
    with running(list(paths), Settings(port=0, token=token, **options)) as address:
        told = urlsplit(address)
        assert told.hostname is not None and told.port is not None
        yield Client(told.hostname, told.port, token)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def routes() -> list[tuple[str, str]]:
    """Method and path of every route, taken from the table that serves them, so that new ones are tested too."""
    told = [(e.method, e.path.replace("{id}", "1")) for e in ENDPOINTS]
    return [*told, ("GET", "/openapi.json"), ("GET", "/"), ("GET", "/page/app.js")]


OPEN = {("GET", "/"), ("GET", "/page/app.js"), ("POST", "/session")}
"""Routes that hold no data of the collection."""
