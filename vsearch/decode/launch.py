"""The host's side of the forking server: start it, ask it for workers, end them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from vsearch.decode.job import Limits
from vsearch.decode.wire import END, READY, REPLY, REQUEST, SPAWN, UNKNOWN
from vsearch.errors import DecodeError
from vsearch.types import PixelSpec

# One thread, and one heap: each further heap takes 64 MiB of the address space that a worker is given.
_ONE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX")
_CLOSED = "the decode pool is closed"
_CANNOT_START = "the process that decodes pictures cannot be started"


@dataclass
class Worker:
    """A process that decodes; files: how many it has done.  control: way to the server that forked it."""

    pid: int
    sock: socket.socket
    control: socket.socket
    files: int = 0
    ended: bool = False


class Server:
    """The process that forks workers.  Started at once, so that it loads while the caller scans; threads share it."""

    def __init__(self, spec: PixelSpec, limits: Limits, command: Sequence[str] | None = None) -> None:
        self._arguments = [msgspec.json.encode(value).decode() for value in (spec, limits)]
        self._command = list(command or (sys.executable, "-P", "-W", "ignore", "-m", "vsearch.decode.server"))
        self._lock = threading.Lock()
        self.closed = self._ready = False
        self._process, self._control = self._start()

    def spawn(self) -> Worker:
        """A new worker.  A server that died is started again.  Raises DecodeError when that fails or after close."""
        with self._lock:
            for _ in range(2):
                try:
                    return self._spawn()
                except OSError:
                    self._stop()
                    self._process, self._control = self._start()
        raise DecodeError("decoding processes die as soon as they are started; is memory short on this machine?")

    def end(self, worker: Worker) -> int:
        """Kill and reap a worker; its wait status, UNKNOWN when that cannot be had (ended before, server gone)."""
        with self._lock:
            worker.sock.close()
            if worker.ended or worker.control is not self._control:
                return UNKNOWN  # the process id may be another's by now
            worker.ended = True
            try:
                return self._request(END, worker.pid)
            except (OSError, DecodeError):
                return UNKNOWN

    def close(self) -> None:
        """End the server and with it every worker."""
        self.closed = True
        self._process.kill()  # before the lock: it wakes the threads that wait for an answer
        with self._lock:
            self._stop()

    def _start(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        self._ready = False
        with theirs:
            try:
                process = subprocess.Popen(
                    [*self._command, str(theirs.fileno()), *self._arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=[theirs.fileno()],
                    env={**os.environ, "PYTHONPATH": path, **dict.fromkeys(_ONE, "1")},
                    start_new_session=True,  # Ctrl-C is for the host, which then closes the pool
                )
            except OSError as error:
                ours.close()
                raise DecodeError(f"{_CANNOT_START}: {error}") from error
        return process, ours

    def _stop(self) -> None:
        self._process.kill()  # its workers die with it (PR_SET_PDEATHSIG)
        self._process.wait()
        self._control.close()
        if self._process.stderr:
            self._process.stderr.close()

    def _spawn(self) -> Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                return Worker(self._request(SPAWN, 0, theirs), ours, self._control)
            except BaseException:
                ours.close()
                raise

    def _request(self, operation: bytes, pid: int, sock: socket.socket | None = None) -> int:
        if self.closed:
            raise DecodeError(_CLOSED)
        self._await_ready()
        socket.send_fds(self._control, [REQUEST.pack(operation, pid)], [sock.fileno()] if sock else [])
        reply = self._control.recv(REPLY.size)
        if len(reply) != REPLY.size:
            raise ConnectionResetError
        return int(REPLY.unpack(reply)[0])

    def _await_ready(self) -> None:
        if self._ready:
            return
        if not self._control.recv(len(READY)):
            if self.closed:
                raise DecodeError(_CLOSED)
            stderr = self._process.stderr
            lines = stderr.read().decode(errors="replace").strip().splitlines() if stderr else []
            raise DecodeError(f"{_CANNOT_START}: {lines[-1] if lines else 'it said nothing'}")
        self._ready = True
