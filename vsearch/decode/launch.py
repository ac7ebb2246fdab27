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
from vsearch.errors import DecodeError
from vsearch.types import PixelSpec

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX")
_SPAWN, _END = b"S", b"E"


@dataclass
class Worker:
    """A process that decodes; files: how many it has done."""

    pid: int
    sock: socket.socket
    files: int = 0


class Server:
    """The process that forks workers.  Started at once, so that it loads while the caller scans; threads share it."""

    def __init__(self, spec: PixelSpec, limits: Limits, command: Sequence[str] | None = None) -> None:
        self._arguments = [msgspec.json.encode(value).decode() for value in (spec, limits)]
        self._command = list(command or (sys.executable, "-P", "-W", "ignore", "-m", "vsearch.decode.server"))
        self._lock = threading.Lock()
        self._closed = False
        self._process, self._control = self._start()
        self._ready = False

    def spawn(self) -> Worker:
        """A new worker.  A server that died is started again.  Raises DecodeError when that fails or after close."""
        for _ in range(2):
            ours, theirs = socket.socketpair()
            try:
                pid = self._request(_SPAWN, 0, theirs)
            except OSError:
                ours.close()
                self._restart()
            else:
                return Worker(pid, ours)
            finally:
                theirs.close()
        raise DecodeError("the decoding process dies as soon as it is started; is the machine out of memory?")

    def end(self, worker: Worker) -> int:
        """Kill and reap a worker; its wait status, -1 when unknown."""
        worker.sock.close()
        try:
            return self._request(_END, worker.pid)
        except (OSError, DecodeError):
            return -1

    def close(self) -> None:
        """End the server and with it every worker."""
        self._closed = True
        self._process.kill()  # workers die with it (PR_SET_PDEATHSIG); this also wakes threads that wait
        with self._lock:
            self._control.close()
            self._process.wait()
            if self._process.stderr:
                self._process.stderr.close()

    def _start(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        with theirs:
            process = subprocess.Popen(
                [*self._command, str(theirs.fileno()), *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": path, **dict.fromkeys(_ONE_THREAD, "1")},
                start_new_session=True,  # Ctrl-C is for the host, which then closes the pool
            )
        return process, ours

    def _restart(self) -> None:
        with self._lock:
            if self._closed or self._process.poll() is None:
                return
            self._control.close()
            if self._process.stderr:
                self._process.stderr.close()
            self._process, self._control = self._start()
            self._ready = False

    def _request(self, operation: bytes, pid: int, sock: socket.socket | None = None) -> int:
        with self._lock:
            if self._closed:
                raise DecodeError("the decode pool is closed")
            self._await_ready()
            message = [operation + pid.to_bytes(4, "little", signed=True)]
            socket.send_fds(self._control, message, [sock.fileno()] if sock else [])
            reply = self._control.recv(4)
        if len(reply) != 4:
            raise ConnectionResetError
        return int.from_bytes(reply, "little", signed=True)

    def _await_ready(self) -> None:
        if self._ready:
            return
        if not self._control.recv(16):
            stderr = self._process.stderr
            lines = stderr.read().decode(errors="replace").strip().splitlines() if stderr else []
            why = lines[-1] if lines else "it said nothing"
            raise DecodeError(f"the decoding process could not be started: {why}")
        self._ready = True
