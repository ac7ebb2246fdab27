"""Pictures in tar and zip files, against the same pictures in a folder."""

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xxhash
from PIL import Image
from serving import serving
from test_spaces import Turned

import vsearch
from vsearch.decode import DecodePool, Job
from vsearch.decode.thumbnails import thumbnails
from vsearch.errors import SourceError
from vsearch.ingest import archives
from vsearch.members import lookup
from vsearch.members import tar as tar_format
from vsearch.moving import Expected
from vsearch.sources import archive, files, folder, source_for
from vsearch.types import Failure, Item, PixelSpec

COUNT = 7


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder of seven pictures of noise with captions, and the same in ``a.tar``, ``b.zip`` and ``stored.zip``."""
    place = tmp_path_factory.mktemp("archives")
    inside = place / "loose" / "deep"
    inside.mkdir(parents=True)
    for number in range(COUNT):
        noise = np.random.default_rng(number).integers(0, 256, (30, 40 + number, 3), dtype=np.uint8)
        Image.fromarray(noise).save(inside / f"{number}.{'png' if number % 2 else 'jpg'}")
        (inside / f"{number}.txt").write_text(f"number {number}")
    with tarfile.open(place / "a.tar", "w") as tar:
        tar.add(place / "loose", ".")
    for name, method in (("b.zip", zipfile.ZIP_DEFLATED), ("stored.zip", zipfile.ZIP_STORED)):
        with zipfile.ZipFile(place / name, "w", method) as packed:
            for file in sorted(inside.iterdir(), reverse=True):
                packed.write(file, f"deep/{file.name}")
    for path in (*inside.iterdir(), *place.glob("*.*")):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return place


def told(index) -> dict[str, tuple]:
    """All that an index holds, by the name of the picture inside its folder or archive."""
    with index.store.snapshot() as snapshot:
        found = {}
        for id, record in snapshot.items():
            name = os.fsdecode(record.path).replace("#", "/").rpartition("deep/")[2]
            vector = snapshot.vectors(np.array([id]))[0].tobytes()
            found[name] = (vector, record.content, record.caption, record.size, record.width, record.height)
        return found


@pytest.mark.parametrize("name", ["a.tar", "b.zip"])
def test_members_are_indexed_as_the_same_files_are_in_a_folder(place, tmp_path, name):
    with vsearch.create(tmp_path / "loose.vsearch", encoder="toy") as loose:
        assert loose.add(folder(place / "loose")).added == COUNT
        expected = told(loose)
    with vsearch.create(tmp_path / "packed.vsearch", encoder="toy") as packed:
        report = packed.add(archive(place / name))
        assert (report.added, report.failures) == (COUNT, ())
        assert told(packed) == expected, "vectors, contents and captions, bit for bit"
        again = packed.add(archive(place / name))
        assert (again.added, again.unchanged, again.removed) == (0, COUNT, 0)
        by_member = packed.search(Path(f"{place}/{name}#deep/3.png"), k=COUNT)
        by_file = packed.search(place / "loose" / "deep" / "3.png", k=COUNT)
        assert [(hit.id, hit.score) for hit in by_member] == [(hit.id, hit.score) for hit in by_file] and by_member


def test_a_member_is_opened_again_wherever_a_file_is(place):
    names = [f"deep/{n}.{'png' if n % 2 else 'jpg'}" for n in range(COUNT)]
    loose = [os.fsencode(place / "loose" / name) for name in names]
    expected = [np.asarray(image) for image in thumbnails(loose, 32)]
    for packed in ("a.tar", "b.zip", "stored.zip"):
        shown = thumbnails([os.fsencode(place / packed) + b"#" + name.encode() for name in names], 32)
        assert all((np.asarray(image) == right).all() for image, right in zip(shown, expected, strict=True))
    assert list(thumbnails([os.fsencode(place / "a.tar#nothing.png"), os.fsencode(place / "no.zip#x.png")], 32)) == [
        None,
        None,
    ]


def test_the_members_of_a_shard_have_captions_and_columns_by_key(tmp_path):
    shard = tmp_path / "00000.tar"
    with tarfile.open(shard, "w") as tar:
        add(tar, "000000001.jpg", picture(1))
        add(tar, "000000001.txt", b"by hand")
        add(tar, "000000001.json", json.dumps({"caption": "by json", "url": "http://x/1", "similarity": 0.3}).encode())
        add(tar, "000000002.json", b'{"caption": "cut')
        add(tar, "000000002.jpg", picture(2))
        add(tar, "a.b/000000003.seg.png", picture(3))
        add(tar, "a.b/000000003.caption", b"by key")
        add(tar, "a.b/notes.txt", b"no picture")
    found = {os.fsdecode(item.path.partition(b"#")[2]): item for item in archive(shard)}
    assert "no JSON that can be read" in found.pop("000000002.json").reason
    assert {name: item.caption for name, item in found.items()} == {
        "000000001.jpg": "by hand\nby json",
        "000000002.jpg": None,
        "a.b/000000003.seg.png": "by key",
    }
    assert found["000000001.jpg"].columns == {"url": "http://x/1", "similarity": 0.3}
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        index.add(archive(shard))
        assert [hit.caption for hit in index.search(picture_file(tmp_path, 9), k=3, where="similarity > 0.2")] == [
            "by hand\nby json"
        ]
        inside = index.search(picture_file(tmp_path, 9), k=3, where=f"folder = '{tmp_path}/00000.tar/a.b/'")
        assert [hit.path.name for hit in inside] == ["000000003.seg.png"], "an archive is like a folder"


def add(tar: tarfile.TarFile, name: str, data: bytes, **attributes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for key, value in attributes.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(data))


def picture(seed: int, format: str = "PNG") -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, format)
    return out.getvalue()


def picture_file(folder: Path, seed: int) -> Path:
    path = folder / f"query{seed}.png"
    path.write_bytes(picture(seed))
    return path


def names(found) -> list[str]:
    assert all(isinstance(item, Item) for item in found), found
    return [os.fsdecode(item.path) for item in found]


def test_folders_open_archives_only_when_asked(place):
    assert not any("#" in name for name in names(list(folder(place))))
    opened = [name for name in names(list(folder(place, archives=True))) if "#" in name]
    assert len(opened) == 3 * COUNT and opened[0].startswith(str(place / "a.tar#deep/"))


def test_what_a_path_is_chooses_the_source(place, tmp_path):
    assert names(list(source_for(place / "a.tar"))) == names(list(archive(place / "a.tar")))
    assert names(list(source_for(f"{place}/b.zip#deep/3.png"))) == [f"{place}/b.zip#deep/3.png"]
    for path, why in ((place / "none.tar", "there is no"), (tmp_path / "x.tar.gz", "gunzip")):
        if path.suffix == ".gz":
            path.write_bytes(b"\x1f\x8b")
        with pytest.raises(SourceError, match=why):
            source_for(path)
    (failure,) = files([f"{place}/b.zip#deep/nothing.png"])
    assert isinstance(failure, Failure) and "no such member" in failure.reason


def test_a_file_whose_name_looks_like_an_address_is_that_file(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "x.png", picture(1))
        add(tar, "y.png", picture(2))
    (tmp_path / "a.tar#x.png").write_bytes(picture(3))
    path = os.fsencode(tmp_path / "a.tar#x.png")
    with DecodePool(PixelSpec(16)) as pool:
        (decoded,) = pool.map([Job(path)])
        assert decoded.size == len(picture(3))
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        report = index.add(folder(tmp_path, archives=True))
        assert report.added == 2 and [f.path for f in report.failures] == [path]


def test_members_vanish_with_their_archive_and_change_with_it(place, tmp_path):
    inside = tmp_path / "pictures"
    inside.mkdir()
    shard, other = inside / "s.zip", inside / "loose.png"
    other.write_bytes(picture(99))
    pack(shard, {"a.png": picture(1), "b.png": picture(2), "c.png": picture(3)})
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        assert index.add(folder(inside, archives=True)).added == 4
        walked = index.add(folder(inside, archives=False))
        assert (walked.removed, walked.unchanged) == (0, 1), "what a walk goes past is still there"
        pack(shard, {"b.png": picture(2), "c.png": picture(33), "d.png": picture(1)})
        changed = index.add(archive(shard))
        # a.png is now named d.png, c.png has other bytes
        assert (changed.added, changed.unchanged, changed.moved, changed.removed) == (1, 1, 1, 0)
        whole = shard.read_bytes()
        shard.write_bytes(whole[:-30])
        damaged = index.add(archive(shard))
        assert (damaged.failed, damaged.removed) == (1, 0), "what cannot be read is not taken for gone"
        shard.unlink()
        gone = index.add(folder(inside))
        assert (gone.removed, gone.unchanged) == (3, 1)
        assert len(index) == 1


def pack(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as packed:
        for name, data in members.items():
            packed.writestr(name, data)


def _read_anew(fd, kind):
    return lookup._Shelf().get(fd, kind)


def test_an_archive_that_did_not_change_is_not_opened_again(place, tmp_path, monkeypatch):
    shards = tmp_path / "shards"
    shards.mkdir()
    with tarfile.open(shards / "s.tar", "w") as tar:
        add(tar, "a.png", picture(1))
        add(tar, "b.png", b"no picture")
        add(tar, "c.png", picture(3))
    monkeypatch.setattr(archives, "RACY_NS", 0)  # it was written just now
    scans = []
    monkeypatch.setattr(lookup, "_shelf", SimpleNamespace(get=_read_anew))  # no table of contents stays in memory
    scan = tar_format.scan
    monkeypatch.setattr(tar_format, "scan", lambda *given: scans.append(1) or scan(*given))
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        first = index.add(folder(shards, archives=True))
        assert (first.added, first.failed) == (2, 1) and scans
        scans.clear()
        for source in (folder(shards, archives=True), archive(shards / "s.tar"), folder(shards)):
            again = index.add(source)
            assert (again.added, again.removed, again.failed, len(index)) == (0, 0, 0, 2)
            assert len(index.errors()) == 1
        assert index.add(archive(shards / "s.tar")).unchanged == 2 and not scans
        assert index.add(archive(shards / "s.tar"), retry_failed=True).failed == 1 and scans
        scans.clear()
        index.remove([next(iter(index.search("red", k=1))).id])
        assert index.add(archive(shards / "s.tar")).added == 1 and scans, "a picture was taken out of the index"


def test_another_space_is_made_from_the_members(place, tmp_path):
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        index.add(archive(place / "a.tar"))
    with vsearch.open(tmp_path / "x.vsearch", write=True) as index:
        report = index.change_encoder(Turned())
        assert (report.embedded, report.failures) == (COUNT, ())


def test_the_server_sends_members_and_their_thumbnails(place, tmp_path):
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        for name in ("a.tar", "b.zip"):
            index.add(archive(place / name))
        with index.store.snapshot() as snapshot:
            paths = {id: os.fsdecode(record.path.partition(b"#")[2]) for id, record in snapshot.items()}
    with serving(tmp_path / "x.vsearch") as client:
        for id, inside in paths.items():
            sent = client.get(f"/image/{id}")
            assert sent.status == 200 and sent.body == (place / "loose" / inside).read_bytes()
            assert client.get(f"/image/{id}", If_None_Match=sent.headers["ETag"]).status == 304
        thumb = Image.open(io.BytesIO(client.get(f"/thumbs/{id}?size=160").body))
        (small,) = thumbnails([os.fsencode(place / "loose" / inside)], 160)
        assert thumb.size == small.size
        assert client.get(f"/items/{id}").json["name"] == f"b.zip#{inside}"


def test_the_command_indexes_archives_and_says_what_cannot_be_opened(place, tmp_path):
    def run(*arguments) -> subprocess.CompletedProcess:
        command = (sys.executable, "-m", "vsearch", *map(str, arguments))
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"COLUMNS": "200"}
        )

    made = run("index", place / "a.tar", place / "b.zip", "--encoder", "toy", "--index", "x.vsearch")
    assert made.returncode == 0 and made.stdout.startswith(f"{2 * COUNT} added"), made.stderr
    found = run("query", "red", "-k", 2 * COUNT, "--paths", "--index", "x.vsearch")
    # the same bytes lie in both archives, and are one hit
    assert sorted(found.stdout.split()) == [f"{place}/a.tar#deep/{n}.{'png' if n % 2 else 'jpg'}" for n in range(COUNT)]
    run("query", "red", "-k", 1, "--html", "x.html", "--index", "x.vsearch")
    page = (tmp_path / "x.html").read_text()
    assert f'href="file://{place}/a.tar#deep/' in page and "data:image/jpeg" in page
    (tmp_path / "x.tgz").write_bytes(b"")
    refused = run("index", "x.tgz")
    assert refused.returncode == 2 and "gunzip" in refused.stderr and refused.stdout == ""


def test_a_copy_inside_an_archive_is_never_moved(place, tmp_path):
    kept, packed = tmp_path / "kept.png", os.fsencode(place / "a.tar#deep/3.png")
    data = (place / "loose" / "deep" / "3.png").read_bytes()
    kept.write_bytes(data)
    content = xxhash.xxh3_128_digest(data)
    assert Expected(os.fsencode(kept), content).problem() is None
    assert Expected(packed, content).problem() == "it is inside an archive"
