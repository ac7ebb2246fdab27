"""What a server is told when it starts, and what one request may cost."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from vsearch.errors import QueryError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
PORT = 7700


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may cost.

    body_bytes: length of a request's body.  public_bytes: the same of one that needs no token, so that only the
    exchange of the token has a body.  bodies_bytes: of all bodies that are read and worked on, at least body_bytes;
    those up to 64 KiB are not counted.  head_seconds, body_seconds: how long its head and its body may take to
    arrive.  send_seconds: how long a client may take to accept one piece of an answer.  work_seconds: after which a
    request is answered with 503.  threads: requests that are worked on at once.  queue: those that wait for a thread;
    more are answered with 503.  connections: open at once; more are closed.  pixels, decode_seconds: what decoding one
    picture, of a client or of the collection, may cost.
    """

    body_bytes: int = 20 * 2**20
    public_bytes: int = 1024
    bodies_bytes: int = 256 * 2**20
    head_bytes: int = 16 * 2**10
    head_seconds: float = 10.0
    body_seconds: float = 20.0
    idle_seconds: float = 60.0
    send_seconds: float = 20.0
    work_seconds: float = 20.0
    threads: int = 16
    queue: int = 256
    connections: int = 1000
    pixels: int = 100_000_000
    decode_seconds: float = 10.0
    decode_workers: int = 2


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a server listens, who may ask, and whether they may change anything.

    host, port: an address of this machine, port 0 for a free one.  socket: path of a Unix socket instead.
    token: what every request for data must carry; None lets everyone in, which only loopback and a Unix socket allow.
    hosts: further names under which browsers may reach the server.  reranker: folder of one that clients may ask for.
    ray: address of a cluster on which the indexes are searched as shards of one collection; None: each is one.
    """

    host: str = "127.0.0.1"
    port: int = PORT
    socket: Path | None = None
    token: str | None = None
    hosts: frozenset[str] = frozenset()
    writable: bool = False
    limits: Limits = field(default_factory=Limits)
    reranker: Path | None = None
    ray: str | None = None

    def __post_init__(self) -> None:
        """Refuse to be open to others without a token.  Raises QueryError."""
        if self.socket is None and self.token is None and not is_loopback(self.host):
            raise QueryError(
                f"{self.host} can be reached from other machines, so a token is needed: leave out --no-token, "
                f"or serve on 127.0.0.1"
            )
        if self.ray is not None and (self.writable or self.reranker is not None):
            raise QueryError("shards are neither written to nor re-ranked: leave out --writable and --rerank, or --ray")
        if self.token is not None and len(self.token) < 32:
            raise QueryError("a token has 32 characters or more; let vsearch make one: --token-file FILE")

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """What a ``Host`` header may name, without its port, in small letters: case means nothing in names of hosts."""
        own = set() if is_any(self.host) else {f"[{self.host}]" if ":" in self.host else self.host}
        return frozenset(host.lower() for host in LOOPBACK_NAMES | own | self.hosts)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.  A name other than localhost may be anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_any(host: str) -> bool:
    """Whether an address stands for all addresses of this machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host == ""
