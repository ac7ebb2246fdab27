"""Small pictures with known colours, and an index over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import vsearch
from vsearch.index import Index

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 128, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of six pictures, each of one colour, one with a caption beside it, in two folders."""
    folder = tmp_path / "photos"
    (folder / "light").mkdir(parents=True)
    for number, (name, colour) in enumerate(COLOURS.items()):
        inside = folder / "light" if name in ("yellow", "white") else folder
        Image.new("RGB", (40 + number, 30), colour).save(inside / f"{name}.png")
    (folder / "red.txt").write_text("a red square\n")
    return folder


@pytest.fixture
def index(tmp_path: Path, photos: Path) -> Iterator[Index]:
    """An index of those pictures, open for writing, made with the toy encoder."""
    with vsearch.create(tmp_path / "photos.vsearch", encoder="toy") as index:
        report = index.add(vsearch.folder(photos))
        assert (report.added, report.failed) == (6, 0)
        yield index
