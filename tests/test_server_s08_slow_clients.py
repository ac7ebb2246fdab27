"""S8: long bodies, slow clients and many connections cost others nothing."""

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import BadStatusLine, HTTPResponse
from pathlib import Path

import pytest
from serving import TOKEN, Client, encoded, serving

from vsearch.server import Limits

HEAD = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n".encode()
QUICK = Limits(body_bytes=100_000, head_seconds=0.3, body_seconds=0.3, send_seconds=0.3, idle_seconds=1, connections=20)


@pytest.fixture(scope="module")
def quick(gallery: Path) -> Iterator[Client]:
    """A server that soon loses patience."""
    with serving(gallery, limits=QUICK) as client:
        yield client


def status(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


def test_a_body_that_says_it_is_too_long_is_not_read(server: Client):
    answer = server.raw(b"POST /search HTTP/1.1\r\n" + HEAD + b"Content-Length: 10000000000\r\n\r\n")
    assert status(answer) == 413


def test_an_endless_body_ends_at_the_limit(quick: Client):
    """Chunked, so that nothing says how long it is: the server closes after little more than the limit."""
    piece = b"2000\r\n" + b"x" * 0x2000 + b"\r\n"
    with socket.create_connection((quick.host, quick.port), timeout=10) as sock:
        sock.sendall(b"POST /search HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        sent, answer = 0, b""
        try:
            while sent < 10**9:
                sock.sendall(piece)
                sent += len(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            answer = sock.recv(1 << 16)
        except ConnectionResetError:
            pass
    assert sent < 20 * 2**20  # what the kernel's buffers hold, at most
    assert not answer or status(answer) == 413


@pytest.mark.parametrize(
    ("length", "body"), [(b"5", b'{"parts": []}'), (b"500", b"{}"), (b"-1", b"{}"), (b"1, 2", b"{}")]
)
def test_lengths_that_lie(quick: Client, length: bytes, body: bytes):
    answer = quick.raw(
        b"POST /search HTTP/1.1\r\nConnection: close\r\n" + HEAD + b"Content-Length: " + length + b"\r\n\r\n" + body
    )
    assert status(answer) in (400, 408, 422)


def test_a_length_and_chunks_together_are_refused(quick: Client):
    both = b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n"
    assert status(quick.raw(b"POST /search HTTP/1.1\r\n" + HEAD + both)) == 400


def test_multipart_is_not_read(server: Client):
    answer = server.post("/search", b"--x\r\n\r\n" * 1000, Content_Type="multipart/form-data; boundary=x")
    assert answer.kind == "NotJson"


def closed_within(sock: socket.socket, seconds: float) -> bool:
    sock.settimeout(seconds)
    try:
        while sock.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"G",
        b"GET /healthz HTTP/1.1\r\nHost: loc",
        b"POST /search HTTP/1.1\r\n" + HEAD + b"Content-Length: 100\r\n\r\n{",
    ],
    ids=["nothing", "a letter", "half a head", "half a body"],
)
def test_a_request_that_does_not_arrive_is_given_up(quick: Client, sent: bytes):
    with socket.create_connection((quick.host, quick.port)) as sock:
        sock.sendall(sent)
        assert closed_within(sock, 5)


def test_a_head_that_drips_is_given_up(quick: Client):
    """Each byte in time, the whole not: the clock starts once."""
    with socket.create_connection((quick.host, quick.port)) as sock:
        sock.settimeout(0.05)
        started = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT011 (reset or broken pipe)
            for byte in b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 1000:
                sock.sendall(bytes([byte]))
                try:
                    if sock.recv(100) == b"":
                        raise ConnectionResetError
                except TimeoutError:
                    pass
        assert time.monotonic() - started < 5


def test_a_second_request_on_a_connection_is_timed_too(quick: Client):
    with socket.create_connection((quick.host, quick.port)) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n")
        assert status(sock.recv(1 << 16)) == 200
        sock.sendall(b"GET /heal")
        assert closed_within(sock, 5)


def test_an_endless_head_is_refused(server: Client):
    answer = server.raw(
        b"GET /healthz HTTP/1.1\r\n" + HEAD + b"X: " + b"x" * 200_000 + b"\r\nConnection: close\r\n\r\n"
    )
    assert not answer or status(answer) == 400


def test_a_client_that_does_not_read_loses_its_connection(tmp_path: Path):
    """Pipelined requests whose answers nobody takes: the server lets go of them."""
    from PIL import Image

    import vsearch

    (tmp_path / "p").mkdir()
    Image.effect_noise((3000, 2000), 100).save(tmp_path / "p" / "a.png", compress_level=0)
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as made:
        made.add(vsearch.folder(tmp_path / "p"))
    with serving(tmp_path / "x.vsearch", limits=QUICK) as client:
        with socket.create_connection((client.host, client.port)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall((b"GET /image/0 HTTP/1.1\r\n" + HEAD + b"\r\n") * 5)
            assert sock.recv(1) == b"H"
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline and is_held(client.port, sock.getsockname()[1]):
                time.sleep(0.05)
            assert not is_held(client.port, sock.getsockname()[1])


@pytest.mark.parametrize("path", ["/search", "/session"])
def test_a_body_that_goes_on_behind_its_answer_is_given_up(quick: Client, path: str):
    """A refused request is answered at once; whoever goes on sending its body, a byte at a time, is cut off."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    with socket.create_connection((quick.host, quick.port), timeout=10) as sock:
        sock.sendall(head)
        assert status(sock.recv(1 << 16)) in (401, 415)
        deadline = time.monotonic() + 10
        with pytest.raises(OSError):  # noqa: PT011, PT012 (reset or broken pipe)
            while time.monotonic() < deadline:
                sock.sendall(b"1\r\nx\r\n")
                time.sleep(0.01)


def test_a_short_rest_of_an_answer_that_nobody_reads_is_given_up(quick: Client):
    """So little that writing is never paused: what the kernel does not hold of the answers stays with the server."""
    path = "/page/app.js"
    length = len(quick.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())) - 19
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(10)
        sock.connect((quick.host, quick.port))
        ends = quick.port, sock.getsockname()[1]
        first = answered(quick)
        asked = 0
        while asked * length <= in_kernel(*ends):
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 4)
            asked += 4
            while answered(quick) < first + asked:
                pass
        assert asked * length - in_kernel(*ends) < 1 << 16
        deadline = time.monotonic() + 10
        while is_held(*ends) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_held(*ends)


def answered(client: Client) -> int:
    """How many requests for the page's files a server has answered."""
    match = re.search(
        rb'vsearch_requests_total\{route="/page/\{name\}",status="200"\} (\d+)', client.get("/metrics").body
    )
    return int(match[1]) if match else 0


def in_kernel(port: int, client: int) -> int:
    """Bytes from a server to a client that the kernel holds: unsent, or sent and not read (proc(5))."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    ends = (f":{port:04X}", f":{client:04X}")
    unsent = [int(row[4].split(":")[0], 16) for row in rows if (row[1][-5:], row[2][-5:]) == ends]
    unread = [int(row[4].split(":")[1], 16) for row in rows if (row[2][-5:], row[1][-5:]) == ends]
    return sum(unsent) + sum(unread)


def is_held(port: int, client: int) -> bool:
    """Whether the server's end of a connection is open (proc(5): state 01 is ESTABLISHED)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    ends = (f":{port:04X}", f":{client:04X}")
    return any(row[1].endswith(ends[0]) and row[2].endswith(ends[1]) and row[3] == "01" for row in rows)


def asks(sock: socket.socket) -> bool:
    """Whether a request on a connection is answered; it stays open."""
    try:
        sock.sendall(b"GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n")
        answer = HTTPResponse(sock)
        answer.begin()
        return answer.status == 200 and bool(answer.read())
    except (ConnectionError, BadStatusLine):
        return False


def test_connections_beyond_the_limit_are_closed(gallery: Path):
    """No clock of the server runs out here, so that nothing but the limit closes any; one that ends makes room."""
    patient = Limits(connections=5, head_seconds=600, body_seconds=600, send_seconds=600, idle_seconds=600)
    with serving(gallery, limits=patient) as client, ExitStack() as opened:

        def connected() -> socket.socket:
            return opened.enter_context(socket.create_connection((client.host, client.port), timeout=10))

        def free() -> bool:
            with socket.create_connection((client.host, client.port), timeout=10) as sock:
                return asks(sock)

        until(free)  # what asked whether the server is up has gone
        socks: list[socket.socket] = []
        while len(socks) < patient.connections:
            if asks(sock := connected()):
                socks.append(sock)
        assert all(closed_within(connected(), 5) for _ in range(10))
        assert all(asks(sock) for sock in socks)
        socks.pop().close()
        until(free)


def until(holds: Callable[[], bool]) -> None:
    """Ask again until it is so, for ten seconds at most."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline


def test_a_low_limit_of_open_files_is_raised(gallery: Path):
    """More connections than a process may have files open at first: a picture is read all the same."""
    picture = encoded(next((gallery.parent / "pictures").rglob("*.png")).read_bytes())
    command = f"ulimit -S -n 100; exec {sys.executable} -m vsearch serve {gallery} --port 0"
    with subprocess.Popen(["bash", "-c", command], stderr=subprocess.PIPE, text=True) as process, ExitStack() as opened:
        try:
            assert process.stderr is not None
            match = re.search(r"serving at http://([\d.]+):(\d+)/#token=(\S+)", process.stderr.readline())
            assert match is not None
            client = Client(match[1], int(match[2]), match[3])
            for _ in range(200):
                opened.enter_context(socket.create_connection((client.host, client.port)))
            assert client.search(parts=[{"image": picture}], k=3)["hits"]
        finally:
            process.terminate()
        assert "Traceback" not in process.stderr.read()


def test_slow_clients_do_not_hold_up_a_quick_one(gallery: Path):
    """100 connections that never finish their heads; a client among them is answered all the same."""
    with serving(gallery) as client, ExitStack() as open_ones:
        for _ in range(100):
            sock = open_ones.enter_context(socket.create_connection((client.host, client.port)))
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: loc")
        assert all(client.search(parts=[{"text": "red"}], k=3)["hits"] for _ in range(20))


def test_a_full_queue_is_503_and_nothing_else(gallery: Path):
    """One thread, a queue of two, and twenty at once: answers are right or 503 with Retry-After."""
    with serving(gallery, limits=Limits(threads=1, queue=2)) as client:
        told: list[tuple[int, str | None, object]] = []
        start = threading.Barrier(20)
        body = {"parts": [{"text": "red"}], "k": 48, "where": "length(name) > 0"}

        def one() -> None:
            start.wait()
            answer = client.post("/search", body)
            told.append((answer.status, answer.headers["Retry-After"], json.loads(answer.body).get("hits")))

        threads = [threading.Thread(target=one) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wanted = client.search(**body)["hits"]
        assert {code for code, _, _ in told} <= {200, 503}
        assert all(hits == wanted for code, _, hits in told if code == 200)
        assert all(after == "1" for code, after, _ in told if code == 503)
