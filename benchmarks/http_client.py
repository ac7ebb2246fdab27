"""A bounded HTTP client for loopback: keep-alive connections, one request at a time on each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Request = tuple[str, str, Any]  # method, path, body for JSON or None


@dataclass
class Connection:
    """One connection to a server."""

    port: int
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None

    async def ask(self, request: Request) -> tuple[int, bytes]:
        """Send a request; returns status and body."""
        method, path, body = request
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        if data:
            head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        if self.writer is None or self.reader is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(head.encode() + b"\r\n" + data)
        told = await self.reader.readuntil(b"\r\n\r\n")
        length = int(told.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return int(told.split(b" ")[1]), await self.reader.readexactly(length)

    def close(self) -> None:
        """Close it."""
        if self.writer is not None:
            self.writer.close()


@dataclass
class Load:
    """What a number of clients saw.  seconds: of each request, in no order.  statuses: how often each was."""

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    wall: float = 0.0

    def figures(self) -> dict[str, float]:
        """Milliseconds, and answers a second."""
        p50, p99 = np.percentile(self.seconds, [50, 99]) * 1000
        return {"p50 ms": float(p50), "p99 ms": float(p99), "per second": len(self.seconds) / self.wall}


def run(
    port: int,
    requests: Iterator[Request],
    clients: int,
    seconds: float,
    judge: Callable[[Request, int, bytes, float, float], None] | None = None,
) -> Load:
    """Let clients ask as fast as they are answered, for some seconds.

    judge: gets each request, its status and body, and when it was sent and answered (``time.monotonic``).
    """
    load = Load()

    async def client(stop: float) -> None:
        connection = Connection(port)
        while (sent := time.monotonic()) < stop:
            request = next(requests)
            status, body = await connection.ask(request)
            done = time.monotonic()
            load.seconds.append(done - sent)
            load.statuses[status] = load.statuses.get(status, 0) + 1
            if judge is not None:
                judge(request, status, body, sent, done)
        connection.close()

    async def all_of_them() -> None:
        started = time.monotonic()
        await asyncio.gather(*(client(started + seconds) for _ in range(clients)))
        load.wall = time.monotonic() - started

    asyncio.run(all_of_them())
    return load
