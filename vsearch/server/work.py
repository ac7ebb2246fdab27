"""Threads that answer, a bounded queue before them, and a time limit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from vsearch.server.faults import busy
from vsearch.server.settings import Limits

T = TypeVar("T")


class Work:
    """What one server works on.  A request that is given up keeps its thread, and its place, until it ends."""

    def __init__(self, limits: Limits) -> None:
        self._threads = ThreadPoolExecutor(limits.threads, thread_name_prefix="vsearch-serve")
        self._most = limits.threads + limits.queue
        self._seconds = limits.work_seconds
        self._guard = threading.Lock()
        self.in_flight = 0

    async def do(self, job: Callable[[], T]) -> T:
        """Run in a thread.  Raises Refused (503) when too many wait or it takes too long, and what the job raises."""
        with self._guard:
            if self.in_flight >= self._most:
                raise busy()
            self.in_flight += 1
        try:
            running = self._threads.submit(job)
        except RuntimeError:
            self._done(None)
            raise busy("the server is stopping") from None
        running.add_done_callback(self._done)
        waiting = asyncio.wrap_future(running)
        await asyncio.wait({waiting}, timeout=self._seconds)
        if not waiting.done():
            waiting.cancel()
            raise busy("this took too long; ask for less, or try again later")
        return waiting.result()

    def _done(self, _: Future[Any] | None) -> None:
        with self._guard:
            self.in_flight -= 1

    def close(self) -> None:
        """Wait for what is running; drop what waits."""
        self._threads.shutdown(wait=True, cancel_futures=True)
