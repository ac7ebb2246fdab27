"""S7: names, captions, columns and queries are text; whatever they hold, they leave as JSON under a strict policy."""

import os
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from serving import Client, routes, serving

import vsearch
from vsearch.server.page_files import FILES

PAYLOADS = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "\"'><svg onload=alert(1)>",
    "javascript:alert(1)",
    "</script><script>alert(1)</script>",
    "{{7*7}}${7*7}",
    "\u202egpj.exe",
    "a\r\nSet-Cookie: x=1",
    "\u2028\u2029",
]
POLICY = {
    "default-src 'none'",
    "img-src 'self'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'none'",
}


@pytest.mark.parametrize(("method", "path"), routes())
def test_the_policy_is_on_every_route(server: Client, method: str, path: str):
    told = server.ask(method, path, {} if method == "POST" else None).headers["Content-Security-Policy"]
    if path.startswith(("/image", "/thumbs")) and "sandbox" in told:
        assert "default-src 'none'" in told
    else:
        assert set(told.split("; ")) == POLICY


def test_payloads_come_out_as_json_text(tmp_path: Path):
    names = [os.fsencode(tmp_path) + b"/" + payload.replace("/", "_").encode() for payload in PAYLOADS]
    meta = {"caption": PAYLOADS, "note": PAYLOADS}
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as made:
        ids = made.add_vectors(names, np.eye(len(names), 64, dtype=np.float32) + 0.1, meta)
    with serving(tmp_path / "x.vsearch") as client:
        hits = {hit["id"]: hit for hit in client.search(parts=[{"text": PAYLOADS[0]}], k=50)["hits"]}
        for id, payload in zip(ids.tolist(), PAYLOADS, strict=True):
            answer = client.get(f"/items/{id}")
            assert answer.headers["Content-Type"] == "application/json"
            assert answer.json["caption"] == hits[id]["caption"] == answer.json["meta"]["note"] == payload
            assert not re.search("[\u202e\u2028\u2029\r\n]", answer.json["name"])
            assert "Set-Cookie" not in answer.headers


def test_camera_names_are_text(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0110] = PAYLOADS[0]
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "pictures" / "a.jpg", exif=exif)
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as made:
        made.add(vsearch.folder(tmp_path / "pictures"))
    with serving(tmp_path / "x.vsearch") as client:
        assert PAYLOADS[0] in client.get("/items/0").json["camera"]
        columns = {facet["column"]: facet["values"] for facet in client.get("/facets").json["columns"]}
        assert "camera" not in columns or PAYLOADS[0] in columns["camera"][0]["value"]


def test_errors_repeat_no_markup_as_a_page(server: Client):
    for payload in PAYLOADS[:5]:
        answer = server.post("/search", {"parts": [{"text": "red"}], "where": payload})
        assert answer.status == 422
        assert answer.headers["Content-Type"] == "application/json"


def test_the_page_writes_text_only():
    """No call that parses markup or runs strings, and nothing inline that the policy would refuse."""
    page = files("vsearch.server").joinpath("page")
    for name in FILES:
        text = page.joinpath(name).read_text(encoding="utf-8")
        if name.endswith(".js"):
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc", text
            )
        if name.endswith(".html"):
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bon[a-z]+=|\bstyle=|javascript:|https?://", text), (
                name
            )
