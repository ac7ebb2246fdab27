"""Small pictures with known colours, and an index over them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from moved_pictures import ODD
from PIL import Image
from serving import Client, serving

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


@pytest.fixture
def copied(photos: Path) -> Path:
    """Those pictures; red is there four times, once under a name that is not UTF-8."""
    for name in ("again.png", "light/red.png"):
        shutil.copy(photos / "red.png", photos / name)
    shutil.copy(bytes(photos / "red.png"), os.path.join(bytes(photos), ODD))
    os.utime(photos / "red.png", ns=(1, 1))  # the oldest, so it is kept
    return photos


@pytest.fixture
def made(tmp_path: Path, copied: Path) -> Iterator[Index]:
    """An index of these, open for writing."""
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(copied))
        yield index


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index, closed, of 48 drawn pictures with captions, in two folders; only to be read."""
    place = tmp_path_factory.mktemp("served")
    folder = place / "pictures"
    for number in range(48):
        inside = folder / ("trips" if number % 3 == 0 else "home")
        inside.mkdir(parents=True, exist_ok=True)
        names = list(COLOURS)
        left, right = COLOURS[names[number % 6]], COLOURS[names[number // 6 % 6]]
        image = Image.new("RGB", (60 + number, 40), left)
        image.paste(right, (30, 0, 60 + number, 40))
        image.save(inside / f"{number:02}.png")
        (inside / f"{number:02}.txt").write_text(f"{names[number % 6]} beside {names[number // 6 % 6]}\n")
    with vsearch.create(place / "gallery.vsearch", encoder="toy") as made:
        assert made.add(vsearch.folder(folder)).added == 48
    return place / "gallery.vsearch"


@pytest.fixture(scope="session")
def server(gallery: Path) -> Iterator[Client]:
    """A server of that index that asks for a token and only reads."""
    with serving(gallery) as client:
        yield client


@pytest.fixture(autouse=True, scope="session")
def remembered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the user has agreed to, and what was found out before, is of these tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VSEARCH_DATA", str(tmp_path_factory.mktemp("data")))
        patch.setenv("VSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def clip_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Folder of a tiny model of each family of CLIP, by its name in ``clip_families.FAMILIES``."""
    from clip_families import FAMILIES, save_family, small_names

    place = tmp_path_factory.mktemp("models")
    with small_names(place / "hub"):
        yield {family: save_family(place / f"{n}", family) for n, family in enumerate(FAMILIES)}


@pytest.fixture
def float32() -> Iterator[None]:
    """Picture towers of float32 in this test, as ``clip_truth.no_bfloat16`` has it."""
    from clip_truth import no_bfloat16

    with no_bfloat16():
        yield
