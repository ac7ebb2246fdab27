"""What a notebook shows of hits, read by an independent HTML parser."""

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

import vsearch
from vsearch.results import Hits
from vsearch.types import Hit


class Read(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.images: list[Image.Image] = []
        self.titles: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        told = dict(attrs)
        if tag == "img":
            kind, _, data = (told["src"] or "").partition(",")
            assert kind == "data:image/jpeg;base64"
            self.images.append(Image.open(io.BytesIO(base64.b64decode(data))))
        if told.get("title"):
            self.titles.append(told["title"] or "")
        assert not any(name.startswith("on") for name in told)

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_pictures_of_a_search(index: vsearch.Index, photos: Path):
    hits = index.search("red", k=3)
    read = Read(hits._repr_html_() or "")
    assert read.tags.count("img") == len(hits) == 3
    red = np.asarray(read.images[0])
    assert (red[..., 0] > 240).all() and (red[..., 1:] < 15).all()
    assert read.images[0].size == (40, 30)
    assert not read.images[0].getexif()
    assert "a red square" in read.words and "red.png" in read.words
    assert read.titles == [str(hit.path) for hit in hits]
    assert Read(hits[:1]._repr_html_() or "").tags.count("img") == 1


def test_names_and_captions_are_text():
    payload = '<img src=x onerror="alert(1)">'
    hits = Hits.of([Hit(1, 1, 0.5, f"/{payload}\n.png".encode(), payload, 1, 1)])
    read = Read(hits._repr_html_() or "")
    assert "img" not in read.tags
    assert payload in read.words
    assert "this picture is gone or cannot be read" in read.words
    assert read.titles == [f"/{payload}\\n.png"]


def test_many_are_cut_and_none_is_said():
    one = Hit(1, 1, 0.5, b"/nowhere.png", None, 1, 1, confidence=0.25)
    read = Read(Hits.of([one] * 30)._repr_html_() or "")
    assert read.tags.count("figure") == 24
    assert "and 6 more" in read.words
    assert "25%" in read.words
    assert "Nothing found." in (Hits.of([])._repr_html_() or "")
