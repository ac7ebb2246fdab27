"""Adding pictures and forgetting them over HTTP."""

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from serving import Client, encoded, serving

import vsearch
from vsearch import files


@pytest.fixture
def writable(tmp_path: Path) -> Iterator[Client]:
    """A server that may change an index of one picture."""
    (tmp_path / "p").mkdir()
    Image.new("RGB", (20, 20), "blue").save(tmp_path / "p" / "own.png")
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as made:
        made.add(vsearch.folder(tmp_path / "p"))
    with serving(tmp_path / "x.vsearch", writable=True) as client:
        yield client


def png(colour: str, size: int = 20) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (size, 20), colour).save(out, "PNG")
    return out.getvalue()


def test_added_found_and_forgotten(writable: Client, tmp_path: Path):
    answer = writable.post("/items", {"image": encoded(png("red")), "name": "a b.jpg", "caption": "so red"})
    assert answer.status == 201
    id = answer.json["id"]
    hit = writable.search(parts=[{"text": "red"}], k=1)["hits"][0]
    assert (hit["id"], hit["caption"], hit["name"][:4]) == (id, "so red", "a-b-")
    assert writable.get(f"/image/{id}").body == png("red")
    assert [path.suffix for path in (tmp_path / "x.uploads").iterdir()] == [
        ".png"
    ]  # what it is, not what it was called
    assert writable.ask("DELETE", f"/items/{id}").json == {"removed": 1}
    assert writable.get(f"/items/{id}").status == writable.ask("DELETE", f"/items/{id}").status == 404
    assert list((tmp_path / "x.uploads").iterdir()) == []


def test_forgetting_deletes_no_file_of_the_user(writable: Client, tmp_path: Path):
    assert writable.ask("DELETE", "/items/0").status == 200
    assert (tmp_path / "p" / "own.png").is_file()


def test_the_same_picture_twice(writable: Client, tmp_path: Path):
    body = {"image": encoded(png("red")), "name": "a.png"}
    first, again = writable.post("/items", body).json, writable.post("/items", body).json
    assert again == {"id": first["id"], "known": True}
    assert len(list((tmp_path / "x.uploads").iterdir())) == 1


@pytest.mark.parametrize(
    "name", ["../../x.png", "/etc/passwd", "..", "a/b", "\x00", "日本", "-", "x" * 200, "CON", ".png"]
)
def test_names_stay_in_the_folder(writable: Client, tmp_path: Path, name: str):
    before = {path for path in tmp_path.rglob("*") if "x.vsearch" not in path.parts}
    assert writable.post("/items", {"image": encoded(png("red")), "name": name}).status == 201
    made = {path for path in tmp_path.rglob("*") if "x.vsearch" not in path.parts} - before
    assert {path.parent for path in made} <= {tmp_path, tmp_path / "x.uploads"}
    assert all(path.is_dir() or path.stat().st_mode & 0o777 == 0o600 for path in made)


@pytest.mark.parametrize("data", [b"", b"hello", b"<svg/>", png("red")[:60]])
def test_what_is_no_picture_leaves_nothing(writable: Client, tmp_path: Path, data: bytes):
    assert writable.post("/items", {"image": encoded(data), "name": "a.png"}).status == 422
    assert not list((tmp_path / "x.uploads").glob("*"))
    assert writable.get("/collections").json["collections"][0]["pictures"] == 1


def test_many_at_once(writable: Client):
    with ThreadPoolExecutor(8) as threads:
        bodies = [{"image": encoded(png("red", 20 + n)), "name": f"{n}.png"} for n in range(16)]
        answers = list(threads.map(lambda body: writable.post("/items", body), bodies))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["id"] for answer in answers}) == 16
    assert len(writable.search(parts=[{"text": "red"}], k=50)["hits"]) == 17


def test_the_folder_that_another_picture_made_in_between(
    writable: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    make = files.make_dir

    def overtaken(path: Path) -> None:
        path.mkdir()
        make(path)

    monkeypatch.setattr(files, "make_dir", overtaken)
    assert writable.post("/items", {"image": encoded(png("red")), "name": "a.png"}).status == 201
    assert [path.name[:2] for path in (tmp_path / "x.uploads").iterdir()] == ["a-"]


def test_another_writer_is_409(writable: Client, tmp_path: Path):
    with vsearch.open(tmp_path / "x.vsearch", write=True):
        assert writable.post("/items", {"image": encoded(png("red")), "name": "a.png"}).kind == "IndexLocked"
    assert not list((tmp_path / "x.uploads").glob("*"))
    assert writable.post("/items", {"image": encoded(png("red")), "name": "a.png"}).status == 201


def test_only_when_it_was_asked_for(server: Client):
    assert server.post("/items", {"image": encoded(png("red")), "name": "a.png"}).kind == "ReadOnly"
    assert server.ask("DELETE", "/items/1").kind == "ReadOnly"
    assert not os.path.exists(server.get("/collections").json["collections"][0]["name"] + ".uploads")
