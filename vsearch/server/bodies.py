"""Bodies of requests: how long each may be and may take, and how much all of them may hold together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.datastructures import Headers
from starlette.types import Message, Receive

from vsearch.server.faults import Refused, busy

SMALL = 1 << 16  # bytes; what a connection may hold of a body before anyone reads it
_CLOSE = {"Connection": "close"}


class Bodies:
    """The bytes that requests have announced and not done with.  Of one event loop, so that no lock is needed.

    Small ones are let pass: uploads that fill the room do not hold up those who ask for words.
    """

    def __init__(self, most: int) -> None:
        self._left = most

    @contextmanager
    def holding(self, length: int) -> Iterator[None]:
        """Reserve room for a body for as long as the block lasts.  Raises Refused (503) when there is too little."""
        room = length if length > SMALL else 0
        if room > self._left:
            raise busy("too many large requests at once; try again in a second")
        self._left -= room
        try:
            yield
        finally:
            self._left += room


def announced(headers: Headers, most: int) -> int:
    """How long a body is going to be; one that does not say so may become the longest.  Raises Refused (413)."""
    if "transfer-encoding" in headers:
        return most
    length = int(headers.get("content-length", "0"))  # h11 lets digits pass only
    if length > most:
        raise _too_large(most)
    return length


def limited(receive: Receive, most: int, seconds: float) -> Receive:
    """A ``receive`` that gives up on a body that is too long or too slow.  Raises Refused (408, 413)."""
    deadline: float | None = None
    length = 0
    whole = False

    async def next_message() -> Message:
        nonlocal deadline, length, whole
        if whole:  # what comes now is the end of the connection
            return await receive()
        deadline = deadline or asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise Refused(408, "TooSlow", "the body of the request did not arrive in time", _CLOSE) from None
        length += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if length > most:
            raise _too_large(most)
        return message

    return next_message


def _too_large(most: int) -> Refused:
    return Refused(413, "TooLarge", f"a request to this route has at most {most:,} bytes", _CLOSE)
