"""S4: the server fetches nothing, whatever addresses it is given (SSRF)."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from serving import Client, encoded

ADDRESSES = """
http://127.0.0.1:{port}/ https://127.0.0.1:{port}/ http://localhost:{port}/a.jpg http://[::1]:{port}/
http://2130706433:{port}/ http://0x7f000001:{port}/ http://0177.0.0.1:{port}/ http://127.1:{port}/ http://0:{port}/
http://0.0.0.0:{port}/ http://[::ffff:127.0.0.1]:{port}/ http://[::]:{port}/ http://user:pw@127.0.0.1:{port}/
http://evil.example@127.0.0.1:{port}/ http://127.0.0.1:{port}#@evil.example/ http://127.0.0.1.nip.io:{port}/
http://169.254.169.254/latest/meta-data/ http://[fd00:ec2::254]/ http://metadata.google.internal/
http://10.0.0.1/ http://172.16.0.1/ http://192.168.0.1/ http://100.64.0.1/ http://198.18.0.1/ http://224.0.0.1/
http://255.255.255.255/ http://[fe80::1]/ http://[fc00::1]/ http://localtest.me:{port}/ http://LOCALHOST:{port}/
http://localhost.:{port}/ http://127.0.0.1:{port}%2f@evil.example/ http:\\\\127.0.0.1:{port}\\ //127.0.0.1:{port}/
http:/127.0.0.1:{port}/ http:127.0.0.1:{port} ftp://127.0.0.1:{port}/ gopher://127.0.0.1:{port}/_x
dict://127.0.0.1:{port}/ ldap://127.0.0.1:{port}/ tftp://127.0.0.1:{port}/ jar:http://127.0.0.1:{port}!/ ws://127.0.0.1:{port}/
file:///etc/passwd file://localhost/etc/passwd file:/etc/passwd FILE:///etc/passwd netdoc:///etc/passwd
data:image/png;base64,iVBORw0KGgo= javascript:alert(1) blob:http://127.0.0.1:{port}/x view-source:http://127.0.0.1:{port}/
s3://bucket/key gs://bucket/key hf://datasets/x smb://127.0.0.1/x \\\\127.0.0.1\\share nfs://127.0.0.1/x
http://①②⑦.⓪.⓪.①:{port}/ http://127。0。0。1:{port}/ http://0x7f.1:{port}/ http://017700000001:{port}/
""".split()


@contextmanager
def connections(port: int) -> Iterator[list[tuple[object, ...]]]:
    """Whoever this process tries to reach, other than the server under test."""
    seen: list[tuple[object, ...]] = []
    on = True

    def watch(event: str, args: tuple[object, ...]) -> None:
        if on and event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
            address = args[1] if event == "socket.connect" else args[:2]
            if address not in (("127.0.0.1", port), ("127.0.0.1", str(port))):
                seen.append((event, address))

    sys.addaudithook(watch)  # cannot be taken away again
    try:
        yield seen
    finally:
        on = False


def test_the_watch_sees():
    with socket.create_server(("127.0.0.1", 0)) as listener, connections(0) as seen:
        socket.create_connection(listener.getsockname()).close()
        address = listener.getsockname()
    assert ("socket.connect", address) in seen


def test_no_string_is_fetched(server: Client):
    assert len(ADDRESSES) >= 60
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        urls = [url.replace("{port}", str(trap.getsockname()[1])) for url in ADDRESSES]
        with connections(server.port) as seen:
            for url in urls:
                assert server.post("/search", {"parts": [{"text": url}]}).status == 200
                assert server.post("/search", {"parts": [{"image": url}]}).status == 422
                assert server.post("/search", {"parts": [{"image": encoded(url.encode())}]}).status == 422
                assert server.post("/classify", {"labels": [url, "b"], "image": encoded(url.encode())}).status == 422
                assert server.post("/search", {"parts": [{"url": url}]}).status == 422
                assert server.post("/search", {"parts": [{"text": "a"}], "collection": url}).status == 422
        assert seen == []
        try:
            trap.accept()
        except BlockingIOError:
            pass
        else:
            raise AssertionError("something connected")


def test_no_schema_has_a_url():
    import msgspec

    from vsearch.server import schemas

    given = [s for s in vars(schemas).values() if isinstance(s, type) and issubclass(s, schemas.In)]
    names = {field.name for struct in given for field in msgspec.structs.fields(struct)}
    assert len(given) > 8
    assert not [name for name in names if {"url", "uri", "path", "file"} & {*name.split("_")}]
