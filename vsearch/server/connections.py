"""Connections that cost little: their number is bounded, and no client can keep one by doing nothing, or too little.

uvicorn closes connections that are idle between two requests.  It waits for ever for the first bytes of a request, for
the rest of its head, for the rest of a body that nobody reads any more, and for a client that does not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from vsearch.server import faults
from vsearch.server.faults import Refused
from vsearch.server.guard import RAW_HEADERS
from vsearch.server.heads import StrictConnection
from vsearch.server.settings import Limits

_PIECE = 1 << 16  # bytes read at once: asyncio's 256 KiB of each connection would be there before anyone asks for them
_NOT_HTTP = "this is no request of HTTP/1.1 of which it is clear where it ends, or its head is too long"


class Connection(H11Protocol):
    """One connection of a client.  lost_early: called when it ends before its answer does."""

    limits = Limits()
    lost_early: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conn = StrictConnection(self.limits.head_bytes)
        self._clocks: dict[str, asyncio.TimerHandle] = {}

    @classmethod
    def within(cls, limits: Limits, lost_early: Callable[[], None]) -> type[Connection]:
        """The class of connections that keep to these limits."""
        return type(cls.__name__, (cls,), {"limits": limits, "lost_early": staticmethod(lost_early)})

    def connection_made(self, transport: Any) -> None:
        """Start the clock, unless there are too many already."""
        super().connection_made(transport)
        transport.max_size = _PIECE
        self.access_log = False  # addresses hold what was asked
        if len(self.connections) > self.limits.connections:
            transport.abort()
            return
        self._clock("head", True, self.limits.head_seconds)

    def data_received(self, data: bytes) -> None:
        """Take bytes; a clock runs while they are part of a head, another while they are of no use to anyone."""
        super().data_received(data)
        self._clock("head", self.conn.their_state is h11.IDLE, self.limits.head_seconds)
        self._watch_end()

    def on_response_complete(self) -> None:
        """Keep nothing of the request, and not the connection either if its end is overdue."""
        self.cycle.body.clear()
        super().on_response_complete()
        self._watch_end()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; behind the beginning of another answer nothing can be said any more."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer = faults.response(Refused(400, "NotHttp", _NOT_HTTP))
            headers = [*answer.raw_headers, *RAW_HEADERS, (b"connection", b"close")]
            start = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
            for event in (start, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event))
        self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection."""
        super().timeout_keep_alive_handler()
        self._watch_end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        for clock in self._clocks.values():
            clock.cancel()
        self._clocks.clear()
        if self.cycle is not None and not self.cycle.response_complete:
            self.lost_early()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start a clock: the client lets its answer lie."""
        super().pause_writing()
        self._clock("unread", True, self.limits.send_seconds)

    def resume_writing(self) -> None:
        """Stop it."""
        self._clock("unread", False)
        super().resume_writing()

    def _watch_end(self) -> None:
        """Look whether a body goes on behind its answer, and whether a closed connection waits for its reader."""
        answered = self.cycle is not None and self.cycle.response_complete
        self._clock("rest", answered and self.conn.their_state is h11.SEND_BODY, self.limits.body_seconds)
        self._clock("close", self.transport.is_closing(), self.limits.send_seconds)

    def _clock(self, name: str, running: bool, seconds: float = 0.0) -> None:
        """Have a clock run, from now if it does not yet, or not; the connection ends with it."""
        if not running:
            if clock := self._clocks.pop(name, None):
                clock.cancel()
        elif name not in self._clocks:
            self._clocks[name] = self.loop.call_later(seconds, self.transport.abort)
