"""From settings to a listening server."""

from __future__ import annotations

import os
import resource
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn

from vsearch.errors import QueryError
from vsearch.server.app import application
from vsearch.server.connections import Connection
from vsearch.server.service import Service
from vsearch.server.settings import Settings

_BACKLOG = 512
_OWN_FILES = 1000  # descriptors of indexes, workers and pictures, at most


def serve(paths: list[Path], settings: Settings, ready: Callable[[str], None]) -> None:
    """Answer until SIGINT or SIGTERM.  ready: gets the address, with the token behind ``#`` where there is one.

    Raises QueryError when it cannot listen there, and what opening an index raises.
    """
    _allow_files(settings.limits.connections + _OWN_FILES)
    with Service(paths, settings) as service, _listening(settings) as sock:
        service.warm()
        server = _server(service)
        ready(address(sock, settings))
        server.run(sockets=[sock])


@contextmanager
def running(paths: list[Path], settings: Settings) -> Iterator[str]:
    """A server in a thread of this process, for as long as the block lasts; gives its address."""
    with Service(paths, settings) as service, _listening(settings) as sock:
        server = _server(service)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, name="vsearch-server")
        thread.start()
        try:
            yield address(sock, settings)
        finally:
            server.should_exit = True
            thread.join()


def address(sock: socket.socket, settings: Settings) -> str:
    """Where a browser finds the page.  The token is behind ``#``, which browsers do not send."""
    if settings.socket is not None:
        return f"unix:{settings.socket}"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    token = f"#token={quote(settings.token, safe='')}" if settings.token else ""
    return f"http://{host}:{sock.getsockname()[1]}/{token}"


def _server(service: Service) -> uvicorn.Server:
    limits = service.settings.limits
    config: dict[str, Any] = {
        "http": Connection.within(limits, service.metrics.note_hang_up),
        "h11_max_incomplete_event_size": limits.head_bytes,
        "timeout_keep_alive": int(limits.idle_seconds),
    }
    return uvicorn.Server(
        uvicorn.Config(
            application(service),
            loop="asyncio",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # whoever connects could write them
            timeout_graceful_shutdown=5,
            backlog=_BACKLOG,
            **config,
        )
    )


def _allow_files(wanted: int) -> None:
    """Let the process have as many descriptors as its connections and indexes may need; many systems allow 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    if settings.socket is not None:
        with _unix(settings.socket) as sock:
            yield sock
        return
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        sock = socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise QueryError(
            f"cannot serve on {settings.host}, port {settings.port}: {words}; try another --port"
        ) from error
    with sock:
        # Accepted sockets inherit it.  Without it an answer, sent as head and body, waits 40 ms for an acknowledgement:
        # asyncio turns it on only for sockets whose protocol is named, and create_server does not name it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield sock


@contextmanager
def _unix(path: Path) -> Iterator[socket.socket]:
    """A Unix socket that only its owner can connect to; one that a server left behind when it died is replaced."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            _clear(path)
            before = os.umask(0o177)
            try:
                sock.bind(os.fspath(path))
            finally:
                os.umask(before)
            sock.listen(_BACKLOG)
        except OSError as error:
            raise QueryError(f"cannot serve on {path}: {error.strerror or error}; name another --socket") from error
        try:
            yield sock
        finally:
            with suppress(OSError):
                os.unlink(path)


def _clear(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(0, "there is a file of that name")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as other:
        try:
            other.connect(os.fspath(path))
        except ConnectionRefusedError:
            os.unlink(path)
        else:
            raise OSError(0, "another server listens there")
