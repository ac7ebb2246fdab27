"""The process that forks workers: ``python -m vsearch.decode.server FD SPEC LIMITS``.

It is started by exec, has one thread, and holds what decoding needs and nothing else (no torch, no faiss,
no LMDB), so forking it is safe and takes milliseconds.  ``multiprocessing`` is not used: it would run the
user's main module again, and its queues need /dev/shm.

Requests come as packets over the socket FD: ``S`` with a socket attached forks a worker that serves it and
answers with its process id; ``E`` with a process id ends that worker and answers with its exit status.
Workers stay children of the server until it reaps them, so a process id never means another process.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from typing import NoReturn

import msgspec
import pillow_heif
from PIL import AvifImagePlugin, Image, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin

from vsearch.decode import picture
from vsearch.decode.job import Limits
from vsearch.decode.wire import READY, REPLY, REQUEST, SPAWN, UNKNOWN
from vsearch.decode.worker import Decode, work
from vsearch.types import PixelSpec

_PLUGINS = (AvifImagePlugin, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin)  # loaded by being imported


def main(argv: list[str], decode: Decode = picture.decode) -> None:
    """Serve until the pool closes its end or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=int(argv[1]))
    spec = msgspec.json.decode(argv[2], type=PixelSpec)
    limits = msgspec.json.decode(argv[3], type=Limits)
    _prepare_pillow()
    pool = os.getppid()
    control.send(READY)
    _silence()
    workers: set[int] = set()
    while os.getppid() == pool:
        # A process that the pool's process forked may hold the other end open after the pool is gone.
        if not select.select([control], [], [], 1.0)[0]:
            continue
        request, fds, _, _ = socket.recv_fds(control, REQUEST.size, 1)
        if len(request) != REQUEST.size:
            return
        operation, pid = REQUEST.unpack(request)
        if operation == SPAWN:
            server = os.getpid()
            pid = os.fork()
            if pid == 0:
                control.close()
                _be_worker(socket.socket(fileno=fds[0]), spec, limits, decode, server)
            os.close(fds[0])
            workers.add(pid)
            control.send(REPLY.pack(pid))
        else:
            control.send(REPLY.pack(_end(pid) if pid in workers else UNKNOWN))
            workers.discard(pid)


def _be_worker(sock: socket.socket, spec: PixelSpec, limits: Limits, decode: Decode, server: int) -> NoReturn:
    try:
        work(sock, spec, limits, decode, server)
    finally:
        os._exit(1)  # whatever was raised: nothing of the server may run in the child


def _end(pid: int) -> int:
    """Kill and reap; the wait status, or UNKNOWN when the process hangs in the kernel (a dead network disk)."""
    os.kill(pid, signal.SIGKILL)  # leaves the status of one that is dead already as it is
    handle = os.pidfd_open(pid)
    try:
        gone = select.select([handle], [], [], 2.0)[0]
        return os.waitpid(pid, 0)[1] if gone else UNKNOWN
    finally:
        os.close(handle)


def _silence() -> None:
    """Decoders that print must not reach the user's terminal, or the output that a script reads."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def _prepare_pillow() -> None:
    """Settings that Pillow keeps per process: this one has no other use for it."""
    Image.preinit()
    Image.MAX_IMAGE_PIXELS = None  # our own check knows the format
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    pillow_heif.register_heif_opener(thumbnails=False)
    pillow_heif.options.DECODE_THREADS = 1


if __name__ == "__main__":
    main(sys.argv)
