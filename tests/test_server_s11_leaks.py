"""S11: no answer tells where things are on this machine, or what the code looks like."""

import io
import logging
import shutil
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from serving import Client, encoded, routes, serving

import vsearch
from vsearch import errors
from vsearch.server import faults
from vsearch.server.faults import Refused

TELLING = (b"Traceback", b"/home", b"/tmp", b"/root", b"/proc", b'File \\"', b".py", b"site-packages", b"0x7f")


def pixel() -> str:
    """A picture of 30 x 20 pixels as a client sends it."""
    out = io.BytesIO()
    Image.new("RGB", (30, 20), "green").save(out, "PNG")
    return encoded(out.getvalue())


PIXEL = pixel()


def every_error() -> list[type[errors.VsearchError]]:
    told = [errors.VsearchError]
    for kind in told:
        told += kind.__subclasses__()
    return told


@pytest.mark.parametrize("kind", [*every_error(), OSError, ValueError, RuntimeError, MemoryError, AssertionError])
def test_every_error_is_cleaned(kind: type[Exception], caplog: pytest.LogCaptureFixture):
    path = "/home/someone/private/photo.jpg"
    error = kind(f"{path}: cannot be read; mend it with: vsearch repair {path}")
    with caplog.at_level(logging.ERROR, "vsearch.server"):
        response = faults.response(error)
    own_words = issubclass(kind, errors.QueryError | errors.FilterError | errors.DimensionMismatch)
    assert own_words or b"someone" not in response.body
    assert response.status_code >= 400
    # what is the server's own fault is in its log, under the id that the client has
    assert (response.status_code < 500) or path in caplog.text


def test_the_own_words_name_no_files():
    """Errors whose words are passed on: wherever the library makes them, no path is put in but what was asked."""
    import ast

    from layer_rules import modules

    made = {"QueryError", "FilterError", "DimensionMismatch"}
    asked_for = {"vsearch.query", "vsearch.asking", "vsearch.hits", "vsearch.feedback", "vsearch.filters.language"}
    asked_for |= {"vsearch.filters.engine", "vsearch.labels.classifier", "vsearch.decode.geometry"}
    for module, tree in modules().items():
        if module in asked_for:
            calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") in made]
            words = {name.id for call in calls for name in ast.walk(call) if isinstance(name, ast.Name)}
            assert not words & {"path", "place", "root", "folder", "store"}, module


def test_every_route_with_bad_input(server: Client, gallery: Path):
    for method, path in [*routes(), ("GET", "/nowhere"), ("PUT", "/search"), ("GET", "/image/999999")]:
        for body in (None, b"{", b'{"x": 1}', b"[" * 5000):
            answer = server.ask(method, path, body, Content_Type="application/json")
            told = answer.body + str(answer.headers).encode()
            if answer.status >= 400:
                assert not [word for word in TELLING if word in told], (method, path, told)
            if "/image" not in path and path not in ("/page/app.js", "/"):
                assert str(gallery.parent).encode() not in told


BAD_PICTURES = {
    "a part of no width": {"image": PIXEL, "crop": [0, 0, 0, 1]},
    "a part of no height": {"image": PIXEL, "crop": [0, 0, 1, 0]},
    "a part outside": {"image": PIXEL, "crop": [0.5, 0.5, 1, 1]},
    "a part of nothing": {"image": encoded(b"no picture"), "crop": [0, 0, 1, 1]},
    "no picture": {"image": encoded(b"no picture")},
    "no bytes": {"image": ""},
    "half a picture": {"image": encoded(b64decode(PIXEL)[:-20])},
    "the name of an archive": {"image": encoded(b"PK\x03\x04" + bytes(100))},
}


@pytest.mark.parametrize("part", BAD_PICTURES.values(), ids=list(BAD_PICTURES))
def test_a_picture_that_was_sent_has_no_path(server: Client, caplog: pytest.LogCaptureFixture, part: dict[str, Any]):
    """It lies in a file that has none but below /proc; what is wrong with it is said without."""
    with caplog.at_level(logging.DEBUG):
        told = [server.post("/search", {"parts": [part]})]
        told += [server.post("/search", {"parts": [{"text": "red"}, part | {"weight": -0.5}]})]
        if "crop" not in part:
            told += [server.post("/classify", {"labels": ["a", "b"], "image": part["image"]})]
    for answer in told:
        assert answer.status == 422
        assert not [word for word in TELLING if word in answer.body], answer.body
        if "crop" in part and part["image"] == PIXEL:
            empty = "has no width or no height, and " if 0 in part["crop"][2:] else ""
            assert f") {empty}is not inside a picture of 30 x 20 pixels" in answer.json["error"]["message"]
    assert "/proc" not in caplog.text


def test_answers_name_no_folders(server: Client, gallery: Path):
    told = server.post("/search", {"parts": [{"text": "red"}], "k": 48}).body + server.get("/items/1").body
    told += server.get("/collections").body + server.get("/facets").body + server.get("/metrics").body
    assert str(gallery.parent).encode() not in told and b"pictures/" not in told


def test_metrics_have_no_names(server: Client):
    server.search(parts=[{"text": "verysecretwords"}])
    told = server.get("/metrics").body
    assert b"verysecret" not in told and b"gallery" not in told and b'route="/search"' in told


def test_a_damaged_collection_says_no_more(tmp_path: Path, gallery: Path, caplog: pytest.LogCaptureFixture):
    shutil.copytree(gallery, tmp_path / "x.vsearch")
    (tmp_path / "x.vsearch" / "meta" / "lock.mdb").unlink(missing_ok=True)
    for rows in (tmp_path / "x.vsearch").rglob("*.f16"):
        data = bytearray(rows.read_bytes())
        data[200:400] = bytes(200)
        rows.write_bytes(data)
    with serving(tmp_path / "x.vsearch") as client, caplog.at_level(logging.ERROR, "vsearch.server"):
        answer = client.post("/search", {"parts": [{"text": "red"}]})
    assert (answer.status, answer.kind) == (503, "IndexCorrupt")
    assert not [word for word in TELLING if word in answer.body]
    assert answer.json["error"]["id"] in caplog.text


def test_queries_are_not_logged(server: Client, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG):
        server.search(parts=[{"text": "verysecretwords"}])
        server.post("/search", {"parts": [{"text": "verysecretwords"}], "where": "secretcolumn = 1"})
        server.get("/similar/1?where=secretcolumn")
    assert "secret" not in caplog.text


def test_the_sender_is_told_what_to_do():
    assert str(faults.refusal(errors.QueryError("say this"))) == "say this"
    assert faults.refusal(Refused(418, "Teapot", "no")).status == 418
    assert faults.refusal(KeyError("/home/x")).status == 500


def test_version_headers_are_not_sent(server: Client):
    assert "Server" not in server.get("/healthz").headers
    assert vsearch.__version__ in server.get("/openapi.json").json["info"]["version"]
