"""Who may ask: a token in a header, or a cookie that a browser got for it."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import time
from collections import OrderedDict
from pathlib import Path

from starlette.datastructures import Headers

from vsearch import files
from vsearch.errors import QueryError
from vsearch.server.faults import Refused

MOST_ATTEMPTS = 20
WINDOW = 60.0  # seconds
_MOST_CLIENTS = 1024


def make_token() -> str:
    """256 bits of randomness, URL-safe."""
    return secrets.token_urlsafe(32)


def token_in(path: Path) -> str:
    """The token of a file, which is made, readable by its owner only, when it is not there.

    Raises QueryError when others may read or write it.
    """
    try:
        made = files.create(path)
    except FileExistsError:
        return _read(path)
    try:
        os.fchmod(made, 0o600)
        token = make_token()
        files.write_all(made, f"{token}\n".encode(), 0)
        files.fsync(made)
    finally:
        os.close(made)
    return token


def _read(path: Path) -> str:
    with open(path, encoding="ascii", errors="replace") as file:
        told = os.fstat(file.fileno())
        if stat.S_IMODE(told.st_mode) & 0o077 or told.st_uid != os.getuid():
            raise QueryError(f"{path}: others can read or change this token; make it yours alone with: chmod 600")
        return file.read(4096).strip()


class Tokens:
    """Compares what requests carry with the token, in constant time."""

    def __init__(self, token: str | None) -> None:
        self._token = token
        # What the browser keeps is not the token, so a stolen cookie tells nothing about the file.
        self._cookie = hmac.new((token or "").encode(), b"vsearch session", hashlib.sha256).hexdigest()
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()

    def check(self, headers: Headers, client: str) -> None:
        """Raise Refused (401, or 429 after many wrong ones) unless a request may have data."""
        if self._token is None:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(given.strip(), self._token):
            return
        cookies = _cookies(headers)
        if any(_same(cookie, self._cookie) for cookie in cookies):
            return
        raise self._refusal(client, tried=bool(given or cookies))

    def cookie(self, given: str, headers: Headers, client: str) -> str:
        """The cookie for a token, as the value of ``Set-Cookie``.  headers: of the request.  Raises Refused."""
        if self._token is not None and not _same(given, self._token):
            raise self._refusal(client, tried=True)
        return f"{cookie_name(headers)}={self._cookie}; Path=/; HttpOnly; SameSite=Strict"

    def _refusal(self, client: str, tried: bool) -> Refused:
        if tried and self._too_many(client):
            return Refused(429, "TooManyAttempts", "too many wrong tokens; wait a minute", {"Retry-After": "60"})
        hint = "send the token as Authorization: Bearer, or open the address that vsearch serve printed"
        return Refused(401, "Unauthorized", hint, {"WWW-Authenticate": "Bearer"})

    def _too_many(self, client: str) -> bool:
        now = time.monotonic()
        tries = [t for t in self._wrong.pop(client, []) if now - t < WINDOW][-MOST_ATTEMPTS:]
        self._wrong[client] = [*tries, now]
        if len(self._wrong) > _MOST_CLIENTS:
            self._wrong.popitem(last=False)
        return len(tries) >= MOST_ATTEMPTS


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def cookie_name(headers: Headers) -> str:
    """Cookies know hosts and no ports, so the name has the port: else two servers of a host would log each other out.

    It is the port that the browser sees, which a tunnel or a proxy may have made another than the server's.
    """
    port = headers.get("host", "").rpartition(":")[2]
    return f"vsearch-{port}" if port.isdecimal() else "vsearch"


def _cookies(headers: Headers) -> list[str]:
    """Values of all cookies of the server's name: another server of the host may have set one beside its own.

    Read without http.cookies, whose time grows with the square of the length.
    """
    name = cookie_name(headers)
    pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
    return [value for key, _, value in pairs if key == name and value]
