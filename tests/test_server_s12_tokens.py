"""S12: tokens are random, kept from others, compared in constant time, and never in an address or a log."""

import logging
import os
import stat
import statistics
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from serving import TOKEN, Client, serving
from starlette.datastructures import Headers

from vsearch.errors import QueryError
from vsearch.server import Settings, running
from vsearch.server.faults import Refused
from vsearch.server.tokens import MOST_ATTEMPTS, Tokens, make_token, token_in


def test_tokens_are_256_bits_of_their_own():
    made = {make_token() for _ in range(1000)}
    assert len(made) == 1000
    assert all(len(token) == 43 for token in made)  # 32 bytes in base64 without padding


def test_the_file_is_for_its_owner(tmp_path: Path):
    before = os.umask(0)
    try:
        token = token_in(tmp_path / "token")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert token_in(tmp_path / "token") == token
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(QueryError, match="chmod 600"):
        token_in(tmp_path / "token")


@pytest.mark.parametrize("given", ["", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "Bearer", "\u00e9" * 40])
def test_wrong_tokens(server: Client, given: str):
    stranger = Client(server.host, server.port, given.encode("utf-8").decode("latin-1"))
    assert stranger.get("/collections").status == 401


@pytest.mark.parametrize("header", ["Basic {}", "Token {}", "{}", "Bearer  x {}"])
def test_wrong_schemes(server: Client, header: str):
    stranger = Client(server.host, server.port)
    assert stranger.get("/collections", Authorization=header.format(TOKEN)).status == 401


def test_never_in_the_address(server: Client):
    stranger = Client(server.host, server.port)
    for name in ("token", "access_token", "key"):
        assert stranger.get(f"/collections?{name}={TOKEN}").status == 401


def test_the_page_gets_a_cookie_for_it(server: Client):
    stranger = Client(server.host, server.port)
    assert stranger.post("/session", {"token": "wrong"}).status == 401
    told = stranger.post("/session", {"token": TOKEN})
    assert told.status == 204
    cookie = told.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert TOKEN not in cookie
    value = cookie.split(";")[0]
    assert stranger.get("/collections", Cookie=value).status == 200
    assert stranger.get("/collections", Cookie=f"other=1; {value}").status == 200
    assert stranger.get("/collections", Cookie=value[:-1] + ("0" if value[-1] != "0" else "1")).status == 401
    assert stranger.get("/collections", Cookie=f"vsearch={TOKEN}").status == 401


def test_servers_on_two_ports_do_not_log_each_other_out(gallery: Path):
    """A browser's jar keeps one cookie of a name for all ports of a host: both are there, and each fits its server."""
    jar: dict[str, str] = {}

    def signed_in(client: Client, **headers: str) -> None:
        answer = Client(client.host, client.port).post("/session", {"token": client.token}, **headers)
        name, _, value = answer.headers["Set-Cookie"].partition(";")[0].partition("=")
        jar[name] = value

    def let_in(client: Client, **headers: str) -> bool:
        cookies = "; ".join(f"{name}={value}" for name, value in jar.items())
        return Client(client.host, client.port).get("/collections", Cookie=cookies, **headers).status == 200

    with serving(gallery) as one, serving(gallery, token=TOKEN[::-1]) as other:
        signed_in(one)
        assert (let_in(one), let_in(other)) == (True, False)
        signed_in(other)
        assert (let_in(one), let_in(other)) == (True, True)
        assert sorted(jar) == sorted(f"vsearch-{client.port}" for client in (one, other))
        # Through tunnels and proxies it is the browser's port that counts; both servers may have the same one.
        jar.clear()
        signed_in(one, Host="localhost:8001")
        signed_in(other, Host="localhost:8002")
        assert (let_in(one, Host="localhost:8001"), let_in(other, Host="localhost:8002")) == (True, True)
        assert (let_in(other, Host="localhost:8001"), let_in(one, Host="localhost")) == (False, False)
        signed_in(one, Host="localhost")
        signed_in(one, Host="[::1]")
        assert let_in(one, Host="[::1]") and "vsearch" in jar


def test_a_restarted_server_takes_the_place_of_its_old_cookie(gallery: Path):
    """The name is that of before, so that cookies of former tokens do not gather."""
    names = set()
    for token in (TOKEN, TOKEN[::-1]):
        with serving(gallery, token=token) as client:
            answer = Client(client.host, client.port).post("/session", {"token": token}, Host="localhost:7700")
            names.add(answer.headers["Set-Cookie"].partition("=")[0])
    assert names == {"vsearch-7700"}


def test_an_address_holds_any_token(gallery: Path, tmp_path: Path):
    """One of a file may have characters that mean something in an address; the page reads it as a form's value."""
    token = "+/=&# %41" * 5
    (tmp_path / "token").write_text(token)
    (tmp_path / "token").chmod(0o600)
    with running([gallery], Settings(port=0, token=token_in(tmp_path / "token"))) as address:
        assert parse_qs(urlsplit(address).fragment, strict_parsing=True) == {"token": [token]}


def test_wrong_ones_are_limited_by_address_and_the_right_one_never():
    tokens = Tokens(TOKEN)
    wrong, right = Headers({"authorization": "Bearer wrong"}), Headers({"authorization": f"Bearer {TOKEN}"})

    def refused(client: str, headers: Headers = wrong) -> int:
        with pytest.raises(Refused) as caught:
            tokens.check(headers, client)
        return caught.value.status

    assert [refused("10.0.0.1") for _ in range(MOST_ATTEMPTS + 5)] == [401] * MOST_ATTEMPTS + [429] * 5
    assert refused("10.0.0.2") == 401
    forwarded = Headers({"authorization": "Bearer wrong", "x-forwarded-for": "10.9.9.9"})
    assert refused("10.0.0.1", forwarded) == 429
    tokens.check(right, "10.0.0.1")
    assert refused("10.0.0.3", Headers({})) == 401  # no attempt
    for number in range(5000):
        refused(f"10.1.{number // 250}.{number % 250}")
    assert len(tokens._wrong) <= 1024


def test_forwarded_addresses_are_not_believed(gallery: Path):
    """Each attempt names another client; all of them count for the socket's address."""
    with serving(gallery) as client:
        stranger = Client(client.host, client.port, "wrong")
        told = [stranger.get("/healthz", X_Forwarded_For=f"10.0.0.{n}").status for n in range(MOST_ATTEMPTS + 3)]
        assert told[-3:] == [429] * 3
        assert client.get("/healthz").status == 200


def test_the_time_tells_nothing():
    """Medians of comparisons with a token wrong in its first and in its last letter: no nearer than noise is asked."""
    tokens = Tokens(TOKEN)

    def median(given: str) -> float:
        headers = Headers({"authorization": f"Bearer {given}"})
        times = []
        for _ in range(2000):
            started = time.perf_counter()
            try:
                tokens.check(headers, "a")
            except Refused:
                pass
            times.append(time.perf_counter() - started)
        return statistics.median(times)

    first, last = median("x" + TOKEN[1:]), median(TOKEN[:-1] + "x")
    assert abs(first - last) < 0.5 * max(first, last)


def test_the_comparison_is_the_one_of_the_library():
    import inspect

    from vsearch.server import tokens

    assert "compare_digest" in inspect.getsource(tokens._same)
    assert "== self._token" not in inspect.getsource(tokens)


def test_not_in_the_log(gallery: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]):
    with caplog.at_level(logging.DEBUG), serving(gallery) as client:
        client.get("/collections")
        client.get("/nowhere")
        Client(client.host, client.port, "wrongwrong").get("/collections")
        Client(client.host, client.port).post("/session", {"token": TOKEN})
        Client(client.host, client.port).post("/session", {"token": 1})
    told = caplog.text + "".join(capfd.readouterr())
    assert TOKEN not in told and "wrongwrong" not in told
