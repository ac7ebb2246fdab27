"""S16: whoever has no token costs no memory, and all bodies together cost a bounded amount of it."""

import random
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from layer_rules import ROOT
from serving import OPEN, TOKEN, Client, routes, serving

from vsearch.server import Limits
from vsearch.server.bodies import SMALL, Bodies
from vsearch.server.faults import Refused
from vsearch.server.settings import Settings
from vsearch.server.tokens import Tokens

HOST = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
RIGHT = f"Authorization: Bearer {TOKEN}\r\n".encode()
LONG = b"Content-Length: 20000000\r\n"
BODY = 200_000
EXACT = f"Content-Length: {BODY}\r\n".encode()
ASKED = b"POST /search HTTP/1.1\r\n" + HOST + JSON + RIGHT
FEW = Limits(body_bytes=BODY, bodies_bytes=3 * BODY, body_seconds=60)


def status(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


def begun(client: Client, head: bytes) -> socket.socket:
    """A connection with a request whose head was sent, and nothing of its body."""
    sock = socket.create_connection((client.host, client.port), timeout=20)
    sock.sendall(head + b"\r\n")
    return sock


@pytest.mark.parametrize(("method", "path"), routes())
def test_no_body_is_waited_for_without_a_token(server: Client, method: str, path: str):
    """Only a head is sent, which says that 20 MB follow: the answer comes all the same."""
    with begun(server, f"{method} {path} HTTP/1.1\r\n".encode() + HOST + JSON + LONG) as sock:
        assert status(sock.recv(1 << 16)) == (413 if (method, path) in OPEN else 401)


@pytest.mark.parametrize("length", ["1025", "20000000"])
def test_the_exchange_of_the_token_takes_a_kilobyte(server: Client, length: str):
    head = b"POST /session HTTP/1.1\r\n" + HOST + JSON
    with begun(server, head + f"Content-Length: {length}\r\n".encode()) as sock:
        assert status(sock.recv(1 << 16)) == 413
    with begun(server, head + b"Transfer-Encoding: chunked\r\n") as sock:
        sock.sendall(b"401\r\n" + b"x" * 1025 + b"\r\n")
        assert status(sock.recv(1 << 16)) == 413
    stranger = Client(server.host, server.port)
    assert stranger.post("/session", {"token": TOKEN}).status == 204
    assert stranger.post("/session", {"token": "x" * 200}).status == 401
    with begun(server, head + b"Content-Length: 1024\r\n") as sock:
        sock.sendall(b" " * 1024)
        assert status(sock.recv(1 << 16)) == 422


def large(client: Client) -> int:
    """The status of a good request that is counted."""
    body = b'{"parts": [{"text": "red"}]}' + b" " * SMALL
    return client.post("/search", body, Content_Type="application/json").status


def test_bodies_have_a_bound_together(gallery: Path):
    """Three that were announced fill the room: others are refused before their bodies, and words pass."""
    with serving(gallery, limits=FEW) as client, ExitStack() as until_end:
        announced = [until_end.enter_context(begun(client, ASKED + EXACT)) for _ in range(3)]
        assert client.search(parts=[{"text": "red"}], k=3)["hits"]  # the server has read those heads before this one
        for length in (EXACT, f"Content-Length: {SMALL + 1}\r\n".encode(), b"Transfer-Encoding: chunked\r\n"):
            answer = until_end.enter_context(begun(client, ASKED + length)).recv(1 << 16)
            assert status(answer) == 503 and b"\r\nretry-after: 1\r\n" in answer.lower()
        assert status(until_end.enter_context(begun(client, ASKED + LONG)).recv(1000)) == 413
        for sock in announced:
            sock.close()
        deadline = time.monotonic() + 20
        while (code := large(client)) == 503 and time.monotonic() < deadline:
            pass
        assert code == 200


def test_those_who_send_slowly_lose_their_room(gallery: Path):
    with serving(gallery, limits=replace(FEW, body_seconds=0.3)) as client, ExitStack() as until_end:
        announced = [until_end.enter_context(begun(client, ASKED + EXACT)) for _ in range(3)]
        assert [status(sock.recv(1 << 16)) for sock in announced] == [408] * 3
        assert [large(client) for _ in range(4)] == [200] * 4


def test_room_is_given_back_whatever_happens():
    """Random bodies come and go, some with an error: what is left is what a plain sum says."""
    bodies, rng = Bodies(1_000_000), random.Random(0)
    held: dict[int, tuple[ExitStack, int]] = {}
    for number in range(3000):
        if held and rng.random() < 0.5:
            stack, _ = held.pop(rng.choice(list(held)))
            with pytest.raises(ValueError, match="planted"), stack:  # noqa: PT012
                raise ValueError("planted")
            continue
        length = rng.choice([0, 1, SMALL, SMALL + 1, 200_000, 500_000])
        left = 1_000_000 - sum(room for _, room in held.values())
        counted = length if length > SMALL else 0
        stack = ExitStack()
        if counted > left:
            with pytest.raises(Refused, match="too many large requests"):
                stack.enter_context(bodies.holding(length))
        else:
            stack.enter_context(bodies.holding(length))
            held[number] = stack, counted
    assert bodies._left == 1_000_000 - sum(room for _, room in held.values())


def test_a_full_room_never_keeps_words_waiting(gallery: Path):
    with serving(gallery, limits=FEW) as client, ExitStack() as until_end:
        for _ in range(3):
            until_end.enter_context(begun(client, ASKED + b"Transfer-Encoding: chunked\r\n"))
        statuses: list[int] = []

        def ask() -> None:
            statuses.append(client.post("/search", {"parts": [{"text": "red"}]}).status)

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [200] * 20


@pytest.mark.parametrize(
    "lines",
    [b"a:\r\n" * 100, b"X: " + b"x" * 16_384 + b"\r\n", b"a: " + b"x" * 160 + b"\r\n"],
    ids=["many lines", "a long line", "few"],
)
def test_heads_have_a_bound(server: Client, lines: bytes):
    """In bytes and in lines, each of which costs Python some hundred bytes more; also where they come at once."""
    refused = len(lines) > 200
    answer = server.raw(b"GET /healthz HTTP/1.1\r\n" + HOST + RIGHT + b"Connection: close\r\n" + lines + b"\r\n")
    assert status(answer) == (400 if refused else 200)


def test_the_exchange_of_the_token_takes_no_thread(gallery: Path):
    """A server that may work on nothing still lets in whoever has the token; so strangers cannot fill its queue."""
    with serving(gallery, limits=Limits(threads=1, queue=-1)) as client:
        assert client.get("/collections").status == 503
        assert [client.post("/session", {"token": TOKEN}).status for _ in range(3)] == [204] * 3


def test_cookies_are_read_as_they_stand(server: Client):
    """Without http.cookies, whose unquoting takes quadratic time: what is in quotes is not unquoted."""
    stranger = Client(server.host, server.port)
    name, _, value = stranger.post("/session", {"token": TOKEN}).headers["Set-Cookie"].partition(";")[0].partition("=")
    assert stranger.get("/healthz", Cookie=f"{name}={value}").status == 200
    assert stranger.get("/healthz", Cookie=f'{name}="{value}"').status == 401
    assert stranger.get("/healthz", Cookie=f"a=;;b; {name}=x; ={value}; {name}={value};").status == 200


def test_wrong_tokens_of_many_addresses_are_forgotten():
    """The oldest first; what is kept of each is bounded too."""
    tokens = Tokens(TOKEN)
    for number in range(3000):
        for _ in range(30 if number == 2999 else 1):
            tokens._too_many(str(number))
    assert list(tokens._wrong) == [str(number) for number in range(3000 - 1024, 3000)]
    assert max(map(len, tokens._wrong.values())) <= 21


@pytest.mark.parametrize(
    ("defect", "fault"), [("", '"faults": []'), ("bodies", "memory reached"), ("kept", "memory grew")]
)
def test_hostile_clients_cost_a_bounded_amount(defect: str, fault: str):
    """200 of them for some seconds (tools/hostile_clients.py), and at servers with planted defects."""
    words = ["--quick", *(["--defect", defect] if defect else [])]
    run = [sys.executable, "tools/hostile_clients.py", *words]
    ended = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert fault in ended.stdout, ended.stdout + ended.stderr
    assert ended.returncode == (1 if defect else 0)


def test_defaults():
    limits = Settings().limits
    assert (limits.public_bytes, limits.bodies_bytes) == (1024, 256 * 2**20)
    assert limits.bodies_bytes >= limits.body_bytes
