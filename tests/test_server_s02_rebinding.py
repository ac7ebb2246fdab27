"""S2: a name of someone else that resolves to this machine opens nothing (DNS rebinding)."""

import pytest
from serving import Client, routes, serving
from starlette.datastructures import Headers

from vsearch.server.guard import _check_origin, _host
from vsearch.server.settings import Settings

FOREIGN = [
    "evil.example",
    "evil.example:{port}",
    "EVIL.EXAMPLE",
    "localhost.",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1.",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::1].evil.example",
    "user@localhost",
    "localhost:1:2",
    "localhost:port",
    "localhost, evil.example",
    "",
    " ",
    "192.168.0.1",
]


@pytest.mark.parametrize("host", FOREIGN)
def test_foreign_names_are_refused(server: Client, host: str):
    answer = server.get("/healthz", Host=host.format(port=server.port))
    assert answer.status in (400, 403)
    if answer.status == 403:
        assert answer.kind == "HostNotAllowed"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_own_names_with_and_without_a_port(server: Client, host: str):
    assert server.get("/healthz", Host=host).status == 200
    assert server.get("/healthz", Host=f"{host}:{server.port}").status == 200


@pytest.mark.parametrize(("method", "path"), [*routes(), ("GET", "/nowhere"), ("PUT", "/search"), ("OPTIONS", "/")])
def test_on_every_route_and_error(server: Client, method: str, path: str):
    assert server.ask(method, path, {} if method == "POST" else None, Host="evil.example").kind == "HostNotAllowed"


def test_no_host_and_two_hosts(server: Client):
    bearer = f"Authorization: Bearer {server.token}\r\nConnection: close\r\n\r\n".encode()
    for head in (
        b"GET /healthz HTTP/1.1\r\n",
        b"GET /healthz HTTP/1.0\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n",
    ):
        assert server.raw(head + bearer).split(b" ")[1] in (b"400", b"403"), head


def test_an_absolute_target_does_not_stand_in_for_the_header(server: Client):
    bearer = f"Authorization: Bearer {server.token}\r\nConnection: close\r\n\r\n".encode()
    told = server.raw(b"GET http://localhost/healthz HTTP/1.1\r\nHost: evil.example\r\n" + bearer)
    assert told.split(b" ")[1] in (b"400", b"403", b"404")


def test_further_names_are_allowed_one_by_one():
    settings = Settings(hosts=frozenset({"pictures.lan"}))
    assert settings.allowed_hosts == {"localhost", "127.0.0.1", "[::1]", "pictures.lan"}
    assert "0.0.0.0" not in Settings(host="0.0.0.0", token="t" * 32).allowed_hosts
    assert "[fe80::1]" in Settings(host="fe80::1", token="t" * 32).allowed_hosts


def test_forwarded_names_are_not_believed(server: Client):
    answer = server.get("/healthz", Host="evil.example", X_Forwarded_Host="localhost", Forwarded="host=localhost")
    assert answer.kind == "HostNotAllowed"


def test_a_check_that_is_switched_off_would_be_seen(gallery, monkeypatch: pytest.MonkeyPatch):
    """The same requests against a server that takes every name for its own: now they are answered."""
    monkeypatch.setattr("vsearch.server.guard._host", lambda told: "localhost")
    with serving(gallery) as client:
        seen = [client.get("/healthz", Host=host.format(port=client.port)).status for host in FOREIGN]
    assert seen.count(200) > len(FOREIGN) - 3


@pytest.mark.parametrize("given", ["DiskStation.local", "diskstation.local"])
@pytest.mark.parametrize("sent", ["diskstation.local", "DiskStation.local", "DISKSTATION.LOCAL", "LOCALHOST"])
def test_case_means_nothing_in_names(given: str, sent: str):
    settings = Settings("127.0.0.1", 7801, {}, None, frozenset([given]), False)
    assert sent.lower() in settings.allowed_hosts and _host([f"{sent}:7801"]) in settings.allowed_hosts
    _check_origin(Headers({"host": f"{sent}:7801", "origin": f"http://{sent.lower()}:7801"}), "/search")


def test_a_name_in_capitals_is_answered(server: Client):
    assert server.get("/healthz", Host=f"LocalHost:{server.port}").status == 200
