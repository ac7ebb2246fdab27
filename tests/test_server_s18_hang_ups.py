"""S18: clients that hang up, or send nonsense, are no errors of the server: nothing is logged, and nothing goes on."""

import logging
import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image
from serving import TOKEN, Client, serving

import vsearch
from vsearch.server import faults
from vsearch.sources import files

HOST = b"Host: localhost\r\n"
RIGHT = HOST + f"Authorization: Bearer {TOKEN}\r\n".encode()
POST = b"POST /search HTTP/1.1\r\nContent-Type: application/json\r\n"
LARGE = 1 << 30
PATIENCE = 20


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Path]]:
    """A server of one picture, whose file has become a gigabyte long since (and sparse), and that file."""
    place = tmp_path_factory.mktemp("large")
    Image.new("RGB", (30, 20), "green").save(place / "a.png")
    with vsearch.create(place / "x.vsearch", encoder="toy") as made:
        made.add(files([place / "a.png"]))
    with open(place / "a.png", "r+b") as file:
        file.truncate(LARGE)
    with serving(place / "x.vsearch") as client:
        yield client, place / "a.png"


def hung_up(client: Client, sent: bytes, wait_for: bytes = b"") -> None:
    """Send the beginning of a conversation, wait for a piece of the answer, and reset the connection."""
    with socket.create_connection((client.host, client.port), timeout=PATIENCE) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.sendall(sent)
        answer = b""
        while wait_for not in answer:
            answer += sock.recv(1 << 12)


def hang_ups(client: Client) -> int:
    match = re.search(rb"^vsearch_hang_ups_total (\d+)", client.get("/metrics").body, re.M)
    assert match is not None
    return int(match[1])


@pytest.mark.parametrize(
    ("sent", "wait_for", "counted"),
    [
        (b"", b"", 0),
        (b"GET /healthz HTTP/1.1\r\nHost: loc", b"", 0),
        (POST + RIGHT + b"Content-Length: 100\r\n\r\n{", b"", 1),
        (POST + RIGHT + b"Content-Length: 90000\r\n\r\n" + b" " * 80_000, b"", 1),
        (POST + RIGHT + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", b"", 1),
        (POST + RIGHT + b"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n", b"100 Continue", 1),
        (
            b"POST /session HTTP/1.1\r\nContent-Type: application/json\r\n" + HOST + b"Content-Length: 9\r\n\r\n{",
            b"",
            1,
        ),
        (b"GET /image/0 HTTP/1.1\r\n" + RIGHT + b"\r\n", b"200 OK", 1),
        (b"HEAD /image/0 HTTP/1.1\r\n" + RIGHT + b"\r\n", b"200 OK", 0),
    ],
    ids=["nothing", "half a head", "half a body", "most of a body", "a chunk", "100", "session", "an answer", "HEAD"],
)
def test_a_hang_up_is_counted_and_not_logged(
    large: tuple[Client, Path], caplog: pytest.LogCaptureFixture, sent: bytes, wait_for: bytes, counted: int
):
    client, _ = large
    before = hang_ups(client)
    with caplog.at_level(logging.DEBUG):
        hung_up(client, sent, wait_for)
        deadline = time.monotonic() + PATIENCE
        while hang_ups(client) < before + counted and time.monotonic() < deadline:
            pass
    assert hang_ups(client) == before + counted
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_a_file_is_read_no_further_than_its_client_does(large: tuple[Client, Path]):
    """A gigabyte is asked for, and not taken: what this process has read, and has open, are the kernel's figures."""
    client, path = large

    def open_files() -> int:
        number = 0
        for name in os.listdir("/proc/self/fd"):
            with suppress(FileNotFoundError):  # closed meanwhile
                number += os.readlink(f"/proc/self/fd/{name}") == str(path)
        return number

    def read_bytes() -> int:
        return int(Path("/proc/self/io").read_text(encoding="ascii").split()[1])

    before = read_bytes()
    for _ in range(3):
        hung_up(client, b"GET /image/0 HTTP/1.1\r\n" + RIGHT + b"\r\n", b"200 OK")
    deadline = time.monotonic() + PATIENCE
    while open_files() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert open_files() == 0
    assert read_bytes() - before < LARGE / 4


@pytest.mark.parametrize(
    "pieces",
    [
        (b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", b"EXTRA"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\nEXTRA", b"EXTRA"),
        (POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"zzz\r\n"),
        (POST + RIGHT + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"zzz\r\n"),
        (b"GET /image/0 HTTP/1.1\r\n" + RIGHT + b"Connection: close\r\n\r\n", b"EXTRA"),
        (b"GET /image/0 HTTP/1.1\r\n" + RIGHT + b"Transfer-Encoding: chunked\r\n\r\n", b"zzz\r\n"),
        (b"NONSENSE\r\n\r\n", b"NONSENSE"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", b"\x81\x05hello"),
    ],
    ids=["behind a last request", "with it", "behind 401", "chunks", "behind a file", "file", "nonsense", "upgrade"],
)
def test_nonsense_is_no_error_of_the_server(
    large: tuple[Client, Path], caplog: pytest.LogCaptureFixture, pieces: tuple[bytes, bytes]
):
    """What is sent behind a request whose answer has begun, or is complete, fails no part of the server."""
    client, _ = large
    with caplog.at_level(logging.DEBUG):
        with socket.create_connection((client.host, client.port), timeout=PATIENCE) as sock:
            sock.sendall(pieces[0])
            if b"Bearer" not in pieces[0] or b"/image" in pieces[0]:
                assert sock.recv(1 << 12)  # its answer has begun
            try:
                sock.sendall(pieces[1])
                while sock.recv(1 << 16):
                    pass
            except ConnectionError:  # the server was quicker
                pass
        assert client.get("/healthz").status == 200
    assert [record for record in caplog.records if record.levelno > logging.WARNING] == []


def test_errors_of_the_server_are_logged_still_on_lines_of_their_own(caplog: pytest.LogCaptureFixture):
    """What a client has written into an error neither begins a line of the log nor moves a terminal's cursor."""
    forged = "x\n0123456789abcdef: IndexCorrupt\r\x1b[2Jgone\u2028\u202e"
    try:
        raise ValueError(forged)
    except ValueError as error:
        faults.response(error)
    (record,) = caplog.records
    lines = record.getMessage().split("\n")
    assert re.fullmatch("[0-9a-f]{16}: InternalError", lines[0])
    assert all(line.startswith("  ") and line.isprintable() for line in lines[1:])
    assert "0123456789abcdef: IndexCorrupt" in record.getMessage() and "raise ValueError(forged)" in record.getMessage()
