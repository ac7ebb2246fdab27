"""What every request passes before anything looks at it, and every answer on its way out.

A page of another site must not be able to use this server through the visitor's browser.  Against DNS rebinding the
``Host`` header must name this machine; against forged requests ``Origin`` and ``Sec-Fetch-Site`` must, where a browser
sends them; there are no CORS headers, so what other sites could send they cannot read.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vsearch.server import faults
from vsearch.server.bodies import Bodies, announced, limited
from vsearch.server.faults import Refused
from vsearch.server.settings import Settings
from vsearch.server.tokens import Tokens

PAGE_POLICY = (
    "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "private, no-store",
}
RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?")


class Guard:
    """ASGI middleware around everything; its own answers, errors too, carry the same headers."""

    def __init__(self, app: ASGIApp, settings: Settings, tokens: Tokens) -> None:
        self._app = app
        self._hosts = settings.allowed_hosts
        self._limits = settings.limits
        self._tokens = tokens
        self._bodies = Bodies(settings.limits.bodies_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, answer, and turn whatever goes wrong into an error that tells nothing."""
        if scope["type"] != "http":  # no WebSockets here
            return
        out = _Outgoing(send)
        try:
            headers = Headers(scope=scope)
            most = self._check(scope, headers)
            with self._bodies.holding(announced(headers, most)):
                await self._app(scope, limited(receive, most, self._limits.body_seconds), out)
        except ClientDisconnect:  # nobody is there to be answered
            return
        except Exception as error:
            if out.started:  # too late for another answer: the connection is cut
                raise
            await faults.response(error)(scope, receive, out)

    def _check(self, scope: Scope, headers: Headers) -> int:
        """How many bytes the body may have: from whoever has shown no token, what a token needs.  Raises Refused."""
        host = _host(headers.getlist("host"))
        if host not in self._hosts:
            raise Refused(403, "HostNotAllowed", "this server does not go by that name; see --allow-host")
        _check_origin(headers, scope["path"])
        if _is_public(scope["method"], scope["path"]):
            return self._limits.public_bytes
        client = scope.get("client")
        self._tokens.check(headers, client[0] if client else "")
        return self._limits.body_bytes


def _host(told: list[str]) -> str:
    """The name in the only ``Host`` header, without its port, in small letters; empty for anything else."""
    found = _HOST.fullmatch(told[0]) if len(told) == 1 else None
    return str(found[1]).lower() if found else ""


def _check_origin(headers: Headers, path: str) -> None:
    origin = headers.get("origin")
    host = headers["host"].lower()
    if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
        raise Refused(403, "CrossOrigin", "requests from other sites are refused")
    site = headers.get("sec-fetch-site", "none")
    if site not in ("same-origin", "none") and not path.startswith("/page/") and path != "/":
        raise Refused(403, "CrossOrigin", "requests from other sites are refused")


def _is_public(method: str, path: str) -> bool:
    """Whether a request is for what holds no data: the page's own files, and the exchange of the token."""
    if method in ("GET", "HEAD"):
        return path == "/" or path.startswith("/page/")
    return method == "POST" and path == "/session"


class _Outgoing:
    """A ``send`` that adds the headers."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            own = {name for name, _ in message["headers"]}  # in lower case, as ASGI has them
            message["headers"] = [*message["headers"], *(pair for pair in RAW_HEADERS if pair[0] not in own)]
        await self._send(message)
