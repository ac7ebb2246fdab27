"""S3: pages of other sites can neither change anything nor read anything: no CORS, and only JSON of this origin."""

import pytest
from serving import Client, routes, serving

SEARCH = {"parts": [{"text": "red"}]}


def test_no_answer_has_a_cors_header(server: Client):
    for method, path in [*routes(), ("OPTIONS", "/search"), ("GET", "/nowhere")]:
        answer = server.ask(method, path, SEARCH if method == "POST" else None, Origin="http://evil.example")
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")], path


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "file://", "https://localhost.evil"]
)
def test_foreign_origins_are_refused(server: Client, origin: str):
    assert server.post("/search", SEARCH, Origin=origin).kind == "CrossOrigin"
    assert server.get("/collections", Origin=origin).kind == "CrossOrigin"


def test_the_own_origin_is_not(server: Client):
    own = f"http://127.0.0.1:{server.port}"
    assert server.post("/search", SEARCH, Origin=own, Sec_Fetch_Site="same-origin").status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_browsers_say_of_the_request(server: Client, site: str):
    assert server.get("/thumbs/1", Sec_Fetch_Site=site).kind == "CrossOrigin"
    assert server.post("/search", SEARCH, Sec_Fetch_Site=site).kind == "CrossOrigin"
    assert server.get("/", Sec_Fetch_Site=site).status == 200  # a link to the page


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "text/json"]
)
def test_forms_are_refused(gallery, kind: str):
    with serving(gallery, token=None, writable=True) as client:
        for path in ("/search", "/classify", "/items", "/session"):
            assert client.post(path, b'{"parts": [{"text": "red"}]}', Content_Type=kind).kind == "NotJson", path


def test_preflight_is_refused(server: Client):
    answer = server.ask("OPTIONS", "/search", Origin="http://evil.example", Access_Control_Request_Method="POST")
    assert answer.status == 403


def test_reading_changes_nothing(server: Client):
    """No GET for what is changed by POST and DELETE."""
    assert server.get("/items").status == 405
    assert server.get("/search").status == 405
