"""S12: tokens are random, kept from others, compared in constant time, and never in an address or a log."""

import logging
import os
import stat
import statistics
import time
from pathlib import Path

import pytest
from serving import TOKEN, Client, serving
from starlette.datastructures import Headers

from vsearch.errors import QueryError
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
