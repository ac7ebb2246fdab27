"""One decoding process: takes a path, gives pixels, and can be killed at any time."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from vsearch.bounds import valid
from vsearch.decode.reading import read_file
from vsearch.decode.wire import Ask, Go, Picture, Problem, Seen, Trouble, WorkerLost, receive, send

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vsearch.decode.job import Limits
    from vsearch.types import PixelSpec

Decode = Callable[..., tuple[Picture, "NDArray[np.uint8]"]]  # of bytes, spec, limits and, for a part, its box

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_MOST_FILES = 16


def work(sock: socket.socket, spec: PixelSpec, limits: Limits, decode: Decode, server: int) -> None:
    """Decode what is asked for until the other end closes.  server: process id of the parent."""
    _confine(limits, server)
    try:
        while True:
            ask = receive(sock)
            if not isinstance(ask, Ask):
                return
            _allow_seconds(limits.seconds)
            _answer(sock, ask, spec, limits, decode)
    except WorkerLost:
        return


def _answer(sock: socket.socket, ask: Ask, spec: PixelSpec, limits: Limits, decode: Decode) -> None:
    seen: Seen | None = None
    try:
        data, seen = read_file(ask.path, limits.max_bytes, ask.part)
        send(sock, seen)
        if ask.pause and receive(sock) != Go(decode=True):
            return
        part = (ask.box,) if ask.box is not None else ()
        picture, pixels = decode(data, spec, limits, *part)
        send(sock, picture, pixels.tobytes())
        return
    except Trouble as trouble:
        problem = trouble.problem
    except MemoryError:
        gc.collect()
        problem = Problem("memory", f"decoding it needs more than {limits.memory_mb:,} MiB of memory")
    if seen:
        problem.stage, problem.size, problem.mtime_ns = "decode", seen.size, seen.mtime_ns
    problem.reason = valid(problem.reason)  # what libraries say may quote any bytes
    send(sock, problem)


def _confine(limits: Limits, server: int) -> None:
    """Take away what decoding does not need, so that a hostile picture finds little."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != server:  # the server died before the line above
        os._exit(0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    with open("/proc/self/statm", "rb") as statm:
        base = int(statm.read().split()[0]) * resource.getpagesize()
    _lower(resource.RLIMIT_AS, base + limits.memory_mb * 2**20)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_NOFILE, _MOST_FILES)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _allow_seconds(seconds: float) -> None:
    """CPU time for the next file, in case the pool cannot keep the deadline (it may be stopped)."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 2
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
