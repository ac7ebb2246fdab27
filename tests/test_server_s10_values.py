"""S10: what leaves is valid JSON in UTF-8: numbers that are finite or null, names of any bytes."""

import json
import math
import os
from pathlib import Path

import numpy as np
from PIL import Image
from serving import serving

import vsearch
from vsearch.server.answers import finite, name_below, text

NAMES = [b"\xff\xfe.png", b"caf\xe9.png", b"\xed\xa0\x80.png", b"new\nline.png", b"\x1b[31m.png", "日本 é.png".encode()]


def strict(raw: bytes) -> object:
    """JSON as RFC 8259 has it: no NaN, no surrogates alone."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    told = raw.decode("utf-8")
    told.encode("utf-8")
    return json.loads(told, parse_constant=refuse)


def test_names_of_any_bytes(tmp_path: Path):
    folder = os.fsencode(tmp_path) + b"/pictures\xff/"
    os.mkdir(folder)
    for number, name in enumerate(NAMES):
        with open(folder + name, "wb") as file:
            Image.new("RGB", (20 + number, 20), "red").save(file, "PNG")
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as made:
        assert made.add(vsearch.folder(os.fsdecode(folder))).added == len(NAMES)
    with serving(tmp_path / "x.vsearch") as client:
        answer = client.post("/search", {"parts": [{"text": "red"}], "k": 50})
        hits = strict(answer.body)["hits"]
        assert len(hits) == len(NAMES)
        for hit in hits:
            strict(client.get(f"/items/{hit['id']}").body)
            assert client.get(f"/image/{hit['id']}").status == client.get(f"/thumbs/{hit['id']}").status == 200
        strict(client.get("/facets").body)
        assert {"日本 é.png", "caf\ufffd.png", "new\\nline.png", "\\x1b[31m.png"} <= {hit["name"] for hit in hits}


def test_columns_that_json_lacks_words_for(tmp_path: Path):
    meta = {"nan": [math.nan, 1.5], "inf": [math.inf, -math.inf], "big": [2**63, 1], "text": ["\x01", "\x00"]}
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as made:
        ids = made.add_vectors([b"a", b"b"], np.eye(2, 64, dtype=np.float32), meta)
    with serving(tmp_path / "x.vsearch") as client:
        told = strict(client.get(f"/items/{ids[0]}").body)["meta"]
        assert told.get("nan") is None and told.get("inf") is None and told["text"] == "\x01"
        strict(client.get("/facets").body)


def test_numbers_and_texts():
    assert [finite(v) for v in (math.nan, math.inf, -math.inf, None, 0.12345678)] == [None, None, None, None, 0.123457]
    assert text("a\ud800b") == "a\ufffdb"
    assert name_below(b"/r/a/\xff", (b"/r/",)) == "a/\ufffd"
    assert name_below(b"/secret/place/b.png", (b"/r/",)) == "b.png"
    assert name_below(b"s3://bucket/x", ()) == "s3://bucket/x"
