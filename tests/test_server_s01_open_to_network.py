"""S1: nobody reaches a server by accident: loopback unless a token is set, and every route asks for it."""

import socket
from pathlib import Path

import pytest
from serving import OPEN, TOKEN, Client, routes, serving

from vsearch.errors import QueryError
from vsearch.server import Settings
from vsearch.server.endpoints import ENDPOINTS


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "10.0.0.1", "8.8.8.8", "my-machine", "", "127.evil"])
def test_other_addresses_need_a_token(host: str):
    with pytest.raises(QueryError, match="a token is needed"):
        Settings(host=host)
    assert Settings(host=host, token=TOKEN).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
def test_loopback_may_do_without(host: str):
    assert Settings(host=host).token is None


def test_short_tokens_are_refused():
    with pytest.raises(QueryError, match="32 characters"):
        Settings(token="secret")


def lines(name: str) -> list[str]:
    return Path(f"/proc/net/{name}").read_text(encoding="ascii").splitlines()[1:]


def test_by_default_only_loopback_listens(server: Client):
    """What the kernel says of the listening socket (proc(5): address and port in hexadecimal, 0A for listening)."""
    port = f":{server.port:04X}"
    rows = [line.split() for name in ("tcp", "tcp6") for line in lines(name)]
    listening = [row[1] for row in rows if row[3] == "0A" and row[1].endswith(port)]
    assert listening == ["0100007F" + port]


@pytest.mark.parametrize(("method", "path"), routes())
def test_every_route_asks_for_the_token(server: Client, method: str, path: str):
    stranger = Client(server.host, server.port)
    answer = stranger.ask(method, path, {} if method == "POST" else None)
    if (method, path) in OPEN:
        assert answer.status != 401
    else:
        assert (answer.status, answer.kind) == (401, "Unauthorized")


def test_routes_are_those_of_the_table():
    assert {(e.method, e.path.replace("{id}", "1")) for e in ENDPOINTS} < set(routes())
    assert len(ENDPOINTS) >= 13


def test_a_server_on_all_addresses_asks_too(gallery):
    with serving(gallery, host="0.0.0.0", hosts=frozenset({"pictures.lan"})) as client:
        stranger = Client("127.0.0.1", client.port)
        for method, path in routes():
            if (method, path) not in OPEN:
                answer = stranger.ask(method, path, {} if method == "POST" else None, Host="pictures.lan")
                assert answer.status == 401, (method, path)
        assert Client("127.0.0.1", client.port, TOKEN).get("/healthz", Host="pictures.lan").status == 200


def test_ipv6_loopback(gallery):
    if not socket.has_ipv6 or not _has_loopback6():
        pytest.skip("no IPv6 here")
    with serving(gallery, host="::1") as client:
        assert client.get("/healthz").status == 200


def _has_loopback6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
        return True
    except OSError:
        return False
