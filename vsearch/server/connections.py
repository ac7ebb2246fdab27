"""Connections that cost little: their number is bounded, heads must arrive and answers must be taken in time.

uvicorn closes connections that are idle between two requests, but waits for ever for the first bytes of a request, for
the rest of its head, and for a client that does not read its answer.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from vsearch.server.settings import Limits


class Connection(H11Protocol):
    """One connection of a client."""

    limits = Limits()
    _timer: asyncio.TimerHandle | None = None  # for a head
    _unread: asyncio.TimerHandle | None = None  # for a client that does not read

    @classmethod
    def within(cls, limits: Limits) -> type[Connection]:
        """The class of connections that keep to these limits."""
        return type(cls.__name__, (cls,), {"limits": limits})

    def connection_made(self, transport: Any) -> None:
        """Start the clock, unless there are too many already."""
        super().connection_made(transport)
        self.access_log = False  # addresses hold what was asked
        if len(self.connections) > self.limits.connections:
            transport.abort()
            return
        self._start()

    def data_received(self, data: bytes) -> None:
        """Take bytes; the clock runs while they are part of a head."""
        super().data_received(data)
        waiting = self.conn.their_state is h11.IDLE  # no head yet
        if not waiting:
            self._stop()
        elif self._timer is None:
            self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop()
        self._taken()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start another clock: the client lets its answer lie."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.limits.send_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop it."""
        self._taken()
        super().resume_writing()

    def _taken(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _start(self) -> None:
        self._timer = self.loop.call_later(self.limits.head_seconds, self._expire)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.abort()
