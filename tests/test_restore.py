"""Backups with what a server was given, and indexes made of them again."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from serving import encoded, serving
from test_server_items import png

import vsearch
from vsearch import files
from vsearch.errors import IndexExists
from vsearch.store import maintain, uploads


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with an index of three pictures, two of which came to a server."""
    place = tmp_path_factory.mktemp("made")
    (place / "p").mkdir()
    Image.new("RGB", (20, 20), "blue").save(place / "p" / "own.png")
    with vsearch.create(place / "x.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(place / "p"))
    with serving(place / "x.vsearch", writable=True) as client:
        for colour in ("red", "green"):
            client.post("/items", {"image": encoded(png(colour)), "name": f"{colour}.png", "caption": colour})
    with vsearch.open(place / "x.vsearch", write=True) as index:
        index.search("red", target="captions")  # makes a derived file
    return place


@pytest.fixture
def backup(made: Path, tmp_path: Path) -> Iterator[Path]:
    """A backup whose original is away for as long as the test takes."""
    with vsearch.open(made / "x.vsearch") as index:
        index.backup(tmp_path / "copy.vsearch")
    (made / "x.vsearch").rename(made / "away.vsearch")
    (made / "x.uploads").rename(made / "away.uploads")
    yield tmp_path / "copy.vsearch"
    (made / "away.vsearch").rename(made / "x.vsearch")
    (made / "away.uploads").rename(made / "x.uploads")


def whole(place: Path) -> bool:
    """Whether an index is sound, and its server finds and shows both pictures that it was given."""
    with vsearch.open(place) as index:
        if index.check().problems:
            return False
    with serving(place) as client:
        hits = {colour: client.search(parts=[{"text": colour}], k=1)["hits"][0] for colour in ("red", "green")}
        return all(client.get(f"/image/{hit['id']}").body == png(colour) for colour, hit in hits.items())


def test_restored_elsewhere_uploads_are_found_and_served(backup: Path, tmp_path: Path):
    moved = backup.rename(tmp_path / "moved")
    vsearch.restore(moved, tmp_path / "new.vsearch")
    shutil.rmtree(moved)
    assert whole(tmp_path / "new.vsearch")
    with vsearch.open(tmp_path / "new.vsearch") as index:
        hit = index.search("red", 1)[0]
        assert Path(hit.path).parent == tmp_path / "new.uploads"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.uploads", "new.vsearch"]


def test_a_backup_of_a_backup_keeps_the_uploads(backup: Path, tmp_path: Path):
    with vsearch.open(backup) as index:
        index.backup(tmp_path / "second.vsearch")
    shutil.rmtree(backup)
    vsearch.restore(tmp_path / "second.vsearch", tmp_path / "new.vsearch")
    assert whole(tmp_path / "new.vsearch")


def test_derived_files_are_in_the_backup(backup: Path, made: Path):
    def derived(place: Path) -> set[str]:
        return {str(path.relative_to(place)) for path in place.glob("spaces/*/derived/*")}

    assert derived(backup) == derived(made / "away.vsearch") != set()


def test_a_backup_without_the_uploads_is_caught(made: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(uploads, "keep", lambda store, copied: None)
    with vsearch.open(made / "x.vsearch") as index:
        index.backup(tmp_path / "copy.vsearch")
    shutil.move(made / "x.uploads", tmp_path / "away")
    try:
        vsearch.restore(tmp_path / "copy.vsearch", tmp_path / "new.vsearch")
        assert not whole(tmp_path / "new.vsearch")
    finally:
        shutil.move(tmp_path / "away", made / "x.uploads")


@pytest.mark.parametrize("taken", ["new.vsearch", "new.uploads"])
def test_nothing_is_overwritten(backup: Path, tmp_path: Path, taken: str):
    (tmp_path / taken).mkdir()
    (tmp_path / taken / "mine").write_text("mine")
    with pytest.raises(IndexExists, match="name a new place for the index"):
        vsearch.restore(backup, tmp_path / "new.vsearch")
    assert {path.name for path in tmp_path.iterdir()} == {"copy.vsearch", taken}
    assert (tmp_path / taken / "mine").read_text() == "mine"


KILLED = """
import os, signal, sys
import vsearch
from vsearch import files
calls = {"left": int(sys.argv[3])}
def counted(call):
    def now(*args):
        calls["left"] -= 1
        if calls["left"] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args)
    return now
for name in ("rename", "rename_new"):
    setattr(files, name, counted(getattr(files, name)))
vsearch.restore(sys.argv[1], sys.argv[2])
"""


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_killed_before_any_name_is_given_a_restore_is_typed_again(backup: Path, tmp_path: Path, calls: int):
    new = tmp_path / "new.vsearch"
    ended = subprocess.run([sys.executable, "-c", KILLED, backup, new, str(calls)], capture_output=True, text=True)
    assert ended.returncode == -9, ended.stderr
    assert not new.exists()
    vsearch.restore(backup, new)
    assert whole(new)


def test_a_picture_forgotten_while_the_backup_is_made_starts_it_over(made: Path, tmp_path: Path, monkeypatch):
    shutil.copytree(made, tmp_path / "own")
    vsearch_at = tmp_path / "own" / "y.vsearch"
    with vsearch.open(made / "x.vsearch") as index:
        index.backup(tmp_path / "copy.vsearch")
    vsearch.restore(tmp_path / "copy.vsearch", vsearch_at)
    copy_metadata, link = maintain.Store.copy_metadata, []
    with vsearch.open(vsearch_at, write=True) as index:
        (hit,) = index.search("red", 1)

        def forgotten_behind(store, path):
            copy_metadata(store, path)
            if not link:
                link.append(path)
                index.remove([hit.id])
                files.discard(Path(hit.path))

        monkeypatch.setattr(maintain.Store, "copy_metadata", forgotten_behind)
        index.backup(tmp_path / "second.vsearch")
    with vsearch.open(tmp_path / "second.vsearch") as copy:
        assert copy.info()["images"] == 2 and len(link) == 1
