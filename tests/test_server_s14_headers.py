"""S14: no answer can be framed by another page, guessed in its type, or kept where others read it."""

import pytest
from serving import Client, routes

EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
CASES = [
    *routes(),
    ("GET", "/nowhere"),
    ("PUT", "/search"),
    ("HEAD", "/thumbs/1"),
    ("OPTIONS", "/"),
    ("GET", "/image/99"),
]


@pytest.mark.parametrize(("method", "path"), CASES)
@pytest.mark.parametrize("how", ["right", "no token", "wrong host", "bad body"])
def test_on_every_route_and_every_error(server: Client, method: str, path: str, how: str):
    client = Client(server.host, server.port, None if how == "no token" else server.token)
    host = {"Host": "evil.example"} if how == "wrong host" else {}
    answer = client.ask(method, path, b"{" if how == "bad body" else None, Content_Type="application/json", **host)
    for name, value in EVERYWHERE.items():
        assert answer.headers.get_all(name) == [value], name
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    cache = answer.headers["Cache-Control"].split(", ")
    assert "private" in cache and ("no-store" in cache or "no-cache" in cache)


def test_data_is_not_kept_and_pictures_are_asked_about_again(server: Client):
    assert server.post("/search", {"parts": [{"text": "a"}]}).headers["Cache-Control"] == "private, no-store"
    assert server.get("/thumbs/1").headers["Cache-Control"] == "private, no-cache"
    assert server.get("/thumbs/1").headers["ETag"]


def test_no_redirects(server: Client):
    """A slash too many is 404: a redirect would repeat the Host header."""
    for path in ("/search/", "//search", "/collections/", "/page/", "/items/1/"):
        answer = server.get(path)
        assert answer.status in (404, 405) and "Location" not in answer.headers
