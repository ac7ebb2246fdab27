"""What a hostile client may do with one connection to a server; for hostile_clients.py."""

from __future__ import annotations

import asyncio
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from vsearch.server import Limits

JSON = b"Content-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
WRONG = b"Authorization: Bearer wrong\r\n"
CHUNK = b"8000\r\n" + b" " * 0x8000 + b"\r\n"


@dataclass(frozen=True)
class Target:
    """A server on this machine.  token: its right one."""

    port: int
    token: str
    limits: Limits

    @property
    def right(self) -> bytes:
        """The line of a head that lets in."""
        return f"Authorization: Bearer {self.token}\r\n".encode()

    @property
    def longest(self) -> bytes:
        """The line of a head that announces as long a body as a request may have."""
        return b"Content-Length: %d\r\n" % self.limits.body_bytes


def head(method: str, path: str, *lines: bytes) -> bytes:
    """The head of a request."""
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n".encode() + b"".join(lines) + b"\r\n"


async def _unfinished(target: Target, reader: StreamReader, writer: StreamWriter, start: bytes) -> None:
    """Send a body but for its last byte, and wait until the server has enough of it."""
    writer.write(start + b" " * (target.limits.body_bytes - 1))
    await reader.read()


async def _endless(reader: StreamReader, writer: StreamWriter, start: bytes) -> None:
    """Send chunks as long as they are taken."""
    writer.write(start)
    while not reader.at_eof():
        writer.write(CHUNK)
        await writer.drain()
        await asyncio.sleep(0)


async def long_session(target: Target, reader: StreamReader, writer: StreamWriter) -> None:
    """A long body for the one route that takes one without a token."""
    await _unfinished(target, reader, writer, head("POST", "/session", JSON, target.longest))


async def endless_session(target: Target, reader: StreamReader, writer: StreamWriter) -> None:
    """The same, of chunks."""
    await _endless(reader, writer, head("POST", "/session", JSON, CHUNKED))


async def wrong_token(target: Target, reader: StreamReader, writer: StreamWriter) -> None:
    """A long body with a wrong token, which is sent whatever the server says."""
    await _unfinished(target, reader, writer, head("POST", "/search", JSON, WRONG, target.longest))


async def wrong_tokens(target: Target, reader: StreamReader, writer: StreamWriter) -> None:
    """Long heads with wrong tokens, one behind the other, then silence."""
    lines = (b"X%d: %s\r\n" % (number, b"x" * 140) for number in range(95))
    writer.write(head("GET", "/browse", WRONG, *lines) * 20)
    await reader.read()


async def slow_head(target: Target, reader: StreamReader, writer: StreamWriter) -> None:
    """A head that drips."""
    writer.write(b"GET /healthz HTTP/1.1\r\nX: ")
    while not reader.at_eof():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def slow_body(target: Target, reader: StreamReader, writer: StreamWriter) -> None:
    """The right token, and a long body that never ends."""
    await _unfinished(target, reader, writer, head("POST", "/search", JSON, target.right, target.longest))


async def endless_body(target: Target, reader: StreamReader, writer: StreamWriter) -> None:
    """The same, of chunks."""
    await _endless(reader, writer, head("POST", "/search", JSON, target.right, CHUNKED))


async def large_query(target: Target, reader: StreamReader, writer: StreamWriter) -> None:
    """The right token, and as large a picture as a request may have, which is none."""
    body = b'{"parts": [{"image": "%s"}]}' % (b"A" * (target.limits.body_bytes * 3 // 16 * 4))
    lines = (JSON, target.right, b"Connection: close\r\n", b"Content-Length: %d\r\n" % len(body))
    writer.write(head("POST", "/search", *lines) + body)
    await reader.read()


async def hang_up(target: Target, reader: StreamReader, writer: StreamWriter) -> None:
    """The beginning of a large file is read, then the connection is reset."""
    writer.write(head("GET", "/image/0", target.right))
    await reader.read(1 << 16)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def unread(target: Target, reader: StreamReader, writer: StreamWriter) -> None:
    """A large file is asked for five times, and not read, for longer than the server waits."""
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(head("GET", "/image/0", target.right) * 5)
    await asyncio.sleep(1.5 * target.limits.send_seconds)


Attack = Callable[[Target, StreamReader, StreamWriter], Awaitable[None]]
ATTACKS: tuple[Attack, ...] = (
    long_session,
    endless_session,
    wrong_token,
    wrong_tokens,
    slow_head,
    slow_body,
    endless_body,
    large_query,
    hang_up,
    unread,
)
