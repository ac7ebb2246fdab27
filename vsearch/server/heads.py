"""Heads of requests that every reader takes for the same: where a request ends is never a matter of opinion.

A proxy before this server may take two lengths, a folded line or a bare line feed otherwise than the server does; then
the rest of one client's request becomes the beginning of another's (request smuggling, RFC 9112, section 11.2).  h11
accepts some of that, so such heads are refused before it reads them.
"""

from __future__ import annotations

import re

import h11

MOST_LINES = 100
_END = re.compile(rb"\n\r?\n")
_LOOSE = re.compile(rb"(?<!\r)\n|\n[ \t]")  # a bare line feed, or a line that continues the one before it (obs-fold)
_VERSIONS = (b"1.0", b"1.1")


class StrictConnection(h11.Connection):
    """The server's end of a connection.  ``next_event`` raises h11.RemoteProtocolError for a head in doubt."""

    def __init__(self, most: int) -> None:
        """most: bytes of a head."""
        super().__init__(h11.SERVER, most)
        self._most = most

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """As h11 does, of strict heads only."""
        if self.their_state is h11.IDLE:
            self._check_lines(self.trailing_data[0])
        event = super().next_event()
        if isinstance(event, h11.Request):
            _check_framing(event)
        return event

    def _check_lines(self, data: bytes) -> None:
        end = _END.search(data)
        head = data[: end.end()] if end else data
        if len(head) > self._most or head.count(b"\n") > MOST_LINES:
            raise h11.RemoteProtocolError("the head is too long", 431)
        if _LOOSE.search(head):
            raise h11.RemoteProtocolError("a line of the head is folded, or ends without a carriage return")


def _check_framing(request: h11.Request) -> None:
    """One length and no other.  h11 has refused those that contradict each other, and codings besides ``chunked``."""
    names = {name for name, _ in request.headers}
    if b"transfer-encoding" in names and (b"content-length" in names or request.http_version != b"1.1"):
        raise h11.RemoteProtocolError("a chunked body has no length, and HTTP/1.1")
    if request.http_version not in _VERSIONS:
        raise h11.RemoteProtocolError("not HTTP/1.1", 505)
