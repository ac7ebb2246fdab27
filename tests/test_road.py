"""The road of a query and of a picture: which files of the package a call crosses, and in which direction.

``python -m tests.test_road`` prints both roads.
"""

from __future__ import annotations

import inspect
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from PIL import Image

import vsearch
from tests.layer_rules import FLOOR, PACKAGE, room_of
from vsearch.index import Index
from vsearch.types import EncoderInfo, PixelSpec

MOST_FOR_A_SEARCH = 12
COLOURS = ("red", "green", "blue", 3, 4, 5, 6, 7)


class Brightness:
    """An encoder that is no part of the package: the mean colour of a picture, the name of a colour."""

    info = EncoderInfo("brightness", "0" * 64, 8, PixelSpec(8))
    preprocess = info.preprocess
    temperature = None

    def encode_images(self, pixels: np.ndarray) -> np.ndarray:
        return unit(np.pad(pixels.reshape(len(pixels), -1, 3).mean(axis=1) + 1, ((0, 0), (0, 5))))

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        return unit(np.array([[text == colour for colour in COLOURS] for text in texts]))


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class Road:
    """What a call crosses.  files: in order.  climbs: calls from a room into one of a higher floor."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.climbs: list[str] = []

    def step(self, frame: FrameType, event: str, _: Any) -> None:
        module = module_of(frame)
        if event != "call" or module is None:
            return
        if module not in self.files:
            self.files.append(module)
        caller = frame.f_back
        # A generator was called where it was made; who asks it for the next value takes data, and calls nothing.
        if caller is None or frame.f_code.co_flags & inspect.CO_GENERATOR:
            return
        before = module_of(caller)
        if before is not None and FLOOR[room_of(before)] < FLOOR[room_of(module)]:
            self.climbs.append(f"{before}.{caller.f_code.co_qualname} calls {module}.{frame.f_code.co_qualname}")


def module_of(frame: FrameType) -> str | None:
    """The module of the package that a frame runs in."""
    name = frame.f_globals.get("__name__", "")
    is_code = frame.f_code.co_filename.startswith(str(PACKAGE)) and frame.f_code.co_name != "<module>"
    return name if is_code and name != "vsearch" else None


@contextmanager
def watched() -> Iterator[Road]:
    """Follow all calls of all threads that begin from now on."""
    road, before = Road(), sys.getprofile()
    threading.setprofile(road.step)
    sys.setprofile(road.step)
    try:
        yield road
    finally:
        sys.setprofile(before)
        threading.setprofile(None)  # type: ignore[arg-type]


@contextmanager
def toy(folder: Path) -> Iterator[Index]:
    """An index of two pictures, and a third that is not in it yet."""
    photos = folder / "photos"
    photos.mkdir()
    Image.new("RGB", (16, 16), (250, 0, 0)).save(photos / "red.png")
    Image.new("RGB", (16, 16), (0, 0, 250)).save(photos / "blue.png")
    with vsearch.create(folder / "toy.vsearch", encoder=Brightness()) as index:
        index.add(vsearch.folder(photos))
        index.search("red")  # what only the first one does, such as imports, is not part of the road
        Image.new("RGB", (16, 16), (0, 250, 0)).save(photos / "green.png")
        yield index


def road_of(folder: Path, call: Callable[[Index], Any]) -> Road:
    with toy(folder) as index, watched() as road:
        call(index)
    return road


def search(index: Index) -> None:
    assert [hit.path.name for hit in index.search("red")] == ["red.png", "blue.png"]


def add(index: Index) -> None:
    assert index.add(vsearch.folder(index.path.parent / "photos")).added == 1


def test_a_search_crosses_few_files(tmp_path: Path):
    road = road_of(tmp_path, lambda index: index.search("red"))
    assert len(road.files) <= MOST_FOR_A_SEARCH, road.files
    assert road.files[0] == "vsearch.index"


def test_a_search_never_climbs(tmp_path: Path):
    assert road_of(tmp_path, lambda index: index.search("red")).climbs == []


def test_a_climb_is_seen(tmp_path: Path, monkeypatch):
    """A planted call from the kernels up into the index."""
    from vsearch import kernels

    merge = kernels.merge

    def climbing(index: Index) -> None:
        namespace: dict[str, Any] = {"len_": len, "__name__": "vsearch.kernels", "index": index, "merge": merge}
        source = "def planted(*args):\n    len(index)\n    return merge(*args)"
        exec(compile(source, str(PACKAGE / "kernels.py"), "exec"), namespace)
        monkeypatch.setattr(kernels, "merge", namespace["planted"])
        index.search("red")

    assert road_of(tmp_path, climbing).climbs == ["vsearch.kernels.planted calls vsearch.index.Index.__len__"]


if __name__ == "__main__":
    for name, call in (("search", search), ("add", add)):
        with tempfile.TemporaryDirectory() as scratch:
            road = road_of(Path(scratch), call)
        print(f"Index.{name}: {len(road.files)} files", *road.files, *road.climbs, sep="\n  ")
