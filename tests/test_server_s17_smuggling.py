"""S17: a request ends where every other reader of it says so, or it is refused and the connection closed."""

import io
import json
import re
import socket
from http.client import HTTPResponse

import pytest
from serving import TOKEN, Client

from vsearch.server.guard import HEADERS

HEAD = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n".encode()
POST = b"POST /search HTTP/1.1\r\n" + HEAD
GET = b"GET /healthz HTTP/1.1\r\n" + HEAD
BODY = b'{"parts": [{"text": "red"}], "k": 1}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


def posted(*lines: bytes, body: bytes = BODY) -> bytes:
    return POST + b"".join(lines) + b"\r\n" + body


# What is sent, and the status of the answer.  400 also means that the connection is closed.
REQUESTS = {
    "a length": (posted(LENGTH), 200),
    "chunks": (posted(CHUNKED, body=CHUNKS), 200),
    "chunks, in capitals and behind a tab": (posted(b"TRANSFER-ENCODING:\tCHUNKED\r\n", body=CHUNKS), 200),
    "chunks with an extension": (posted(CHUNKED, body=CHUNKS.replace(b"\r\n", b";a=b\r\n", 1)), 200),
    "the same length twice": (posted(LENGTH, LENGTH), 200),
    "a length with zeros before it": (posted(LENGTH.replace(b": ", b": 000")), 200),
    "neither": (posted(body=b""), 422),
    # two lengths
    "a length and chunks": (posted(LENGTH, CHUNKED, body=CHUNKS), 400),
    "chunks and a length": (posted(CHUNKED, LENGTH, body=CHUNKS), 400),
    "chunks and a length of 0": (posted(b"Content-Length: 0\r\n", CHUNKED, body=CHUNKS), 400),
    "chunks and a length of a GET": (GET + b"Content-Length: 3\r\n" + CHUNKED + b"\r\n0\r\n\r\n", 400),
    "two lengths": (posted(LENGTH, b"Content-Length: 4\r\n"), 400),
    "two lengths, the other way round": (posted(b"Content-Length: 4\r\n", LENGTH), 400),
    "two lengths in a list": (posted(b"Content-Length: %d, 4\r\n" % len(BODY)), 400),
    # lengths that are none
    "a length with a sign": (posted(b"Content-Length: +%d\r\n" % len(BODY)), 400),
    "a negative length": (posted(b"Content-Length: -1\r\n"), 400),
    "a length in hex": (posted(b"Content-Length: 0x24\r\n"), 400),
    "a length with an underscore": (posted(b"Content-Length: 3_6\r\n"), 400),
    "a length in other digits": (posted("Content-Length: ٣٦\r\n".encode()), 400),
    "a length of no digits": (posted(b"Content-Length:\r\n"), 400),
    "a length of 25 digits": (posted(b"Content-Length: " + b"9" * 25 + b"\r\n"), 400),
    # codings
    "identity": (posted(b"Transfer-Encoding: identity\r\n", LENGTH), 400),
    "identity, chunked": (posted(b"Transfer-Encoding: identity, chunked\r\n", body=CHUNKS), 400),
    "chunked, identity": (posted(b"Transfer-Encoding: chunked, identity\r\n", body=CHUNKS), 400),
    "gzip, chunked": (posted(b"Transfer-Encoding: gzip, chunked\r\n", body=CHUNKS), 400),
    "chunked twice": (posted(CHUNKED, CHUNKED, body=CHUNKS), 400),
    "chunked and identity": (posted(CHUNKED, b"Transfer-Encoding: identity\r\n", body=CHUNKS), 400),
    "xchunked": (posted(b"Transfer-Encoding: xchunked\r\n", body=CHUNKS), 400),
    "chunked in quotes": (posted(b'Transfer-Encoding: "chunked"\r\n', body=CHUNKS), 400),
    "chunked behind a vertical tab": (posted(b"Transfer-Encoding: \x0bchunked\r\n", body=CHUNKS), 400),
    "no coding": (posted(b"Transfer-Encoding:\r\n", body=CHUNKS), 400),
    "chunks in HTTP/1.0": (posted(CHUNKED, body=CHUNKS).replace(b"/1.1", b"/1.0", 1), 400),
    # names that look like those of lengths are other names
    "a space before the colon": (posted(b"Transfer-Encoding : chunked\r\n", LENGTH), 400),
    "an underscore in the name": (posted(b"Transfer_Encoding: chunked\r\n", b"Content_Length: 4\r\n", LENGTH), 200),
    # lines
    "a folded line": (posted(b"X: 1\r\n 2\r\n", LENGTH), 400),
    "a line folded with a tab": (posted(b"X: 1\r\n\t2\r\n", LENGTH), 400),
    "a folded coding": (posted(b"Transfer-Encoding:\r\n chunked\r\n", body=CHUNKS), 400),
    "a folded length": (posted(b"Content-Length: 3\r\n 6\r\n"), 400),
    "a fold behind the first line": (POST.replace(b"Host", b" X: 1\r\nHost", 1) + LENGTH + b"\r\n" + BODY, 400),
    "a line without a carriage return": (posted(b"X: 1\n", LENGTH), 400),
    "a length behind a bare line feed": (posted(b"X: 1\nContent-Length: 4\r\n", LENGTH), 400),
    "no carriage returns": ((POST + LENGTH + b"\r\n").replace(b"\r", b"") + BODY, 400),
    "an end without a carriage return": (POST + LENGTH + b"\n" + BODY, 400),
    "a bare carriage return": (posted(b"X: 1\rContent-Length: 4\r\n", LENGTH), 400),
    "a zero byte": (posted(b"X: a\x00b\r\n", LENGTH), 400),
    "no colon": (posted(b"Nonsense\r\n", LENGTH), 400),
    "no name": (posted(b": x\r\n", LENGTH), 400),
    "an empty line first": (b"\r\n" + posted(LENGTH), 400),
    # first lines
    "two spaces": (GET.replace(b" ", b"  ", 1) + b"\r\n", 400),
    "tabs": (GET.replace(b" ", b"\t", 2) + b"\r\n", 400),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", 400),
    "HTTP/0.9 by name": (GET.replace(b"1.1", b"0.9", 1) + b"\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/2 by name": (GET.replace(b"1.1", b"2.0", 1) + b"\r\n", 400),
    "the address of another host": (GET.replace(b"/healthz", b"http://evil.example/healthz") + b"\r\n", 404),
    "a tunnel": (GET.replace(b"GET /healthz", b"CONNECT evil.example:80") + b"\r\n", 404),
    "two hosts": (GET + b"Host: localhost\r\n\r\n", 400),
    "no host": (GET.replace(b"Host: localhost\r\n", b"") + b"\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    # chunks
    "a chunk of a negative size": (posted(CHUNKED, body=b"-" + CHUNKS), 400),
    "a chunk with 0x": (posted(CHUNKED, body=b"0x" + CHUNKS), 400),
    "a chunk longer than it says": (posted(CHUNKED, body=CHUNKS.replace(b"}\r\n", b"}XX", 1)), 400),
    "a chunk's size with a line feed in it": (posted(CHUNKED, body=CHUNKS.replace(b"\r\n", b";\nx\r\n", 1)), 400),
    "a token in the trailer": (
        posted(CHUNKED, body=CHUNKS[:-2] + b"Authorization: Bearer %s\r\n\r\n" % TOKEN.encode()).replace(
            f"Authorization: Bearer {TOKEN}\r\n".encode(), b"", 1
        ),
        401,
    ),
}


def exchanged(server: Client, sent: bytes) -> bytes:
    """What the server says, until it closes the connection or has given one answer."""
    answer = b""
    with socket.create_connection((server.host, server.port), timeout=20) as sock:
        sock.sendall(sent)
        while b"\r\n\r\n" not in answer and (piece := sock.recv(1 << 16)):
            answer += piece
        if answer.startswith(b"HTTP/1.1 400 "):  # closed: nothing that comes behind is taken for a request
            while piece := sock.recv(1 << 16):
                answer += piece
    return answer


class Received:
    """What came over a connection, as http.client reads one."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, _: str) -> io.BytesIO:
        return io.BytesIO(self.data)


@pytest.mark.parametrize(("sent", "wanted"), REQUESTS.values(), ids=list(REQUESTS))
def test_requests(server: Client, sent: bytes, wanted: int):
    behind = b"GET /nowhere HTTP/1.1\r\n" + HEAD + b"\r\n" if wanted == 400 else b""
    statuses = re.findall(rb"HTTP/1\.1 (\d+) ", exchanged(server, sent + behind))
    assert statuses == [b"%d" % wanted]


def test_a_request_behind_another_is_answered_as_its_own(server: Client):
    """Bodies of a length and of chunks in turn: the next request begins exactly behind each."""
    sent = (posted(LENGTH) + GET + b"\r\n" + posted(CHUNKED, body=CHUNKS)) * 3
    last = b"GET /nowhere HTTP/1.1\r\nConnection: close\r\n" + HEAD + b"\r\n"
    statuses = re.findall(rb"HTTP/1\.1 (\d+) ", server.raw(sent + last))
    assert statuses == [b"200", b"200", b"200"] * 3 + [b"404"]


def test_a_head_in_pieces_is_checked_as_a_whole(server: Client):
    """A fold or a bare line feed that arrives byte by byte is seen too, and a right head passes."""
    for sent, wanted in ((GET + b"X: 1\r\n 2\r\n\r\n", 400), (GET + b"X: 1\n\r\n", 400), (GET + b"X: 1\r\n\r\n", 200)):
        with socket.create_connection((server.host, server.port), timeout=20) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in sent:
                try:
                    sock.sendall(bytes([byte]))
                except ConnectionError:
                    break
            assert sock.recv(1 << 16).startswith(b"HTTP/1.1 %d " % wanted)


def test_the_refusal_is_an_answer_like_others(server: Client):
    """JSON with the headers of all answers, also behind the beginning of a body."""
    for sent in (b"NONSENSE\r\n\r\n", posted(LENGTH, CHUNKED, body=CHUNKS), posted(CHUNKED, body=b"zzz\r\n")):
        answer = HTTPResponse(Received(exchanged(server, sent)))  # type: ignore[arg-type]
        answer.begin()
        assert (answer.status, answer.headers["Connection"]) == (400, "close")
        assert json.loads(answer.read())["error"]["kind"] == "NotHttp"
        assert {name.lower() for name in HEADERS} <= {name.lower() for name in answer.headers}
