"""S5: addresses carry ids only, and an id opens a regular file beneath its folder or nothing."""

import itertools
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from PIL import Image
from serving import Client, encoded, serving

import vsearch
from vsearch.index import Index
from vsearch.server.faults import Refused
from vsearch.server.opening import open_beneath

SECRET = b"root:x:0:0"
_TARGETS = ("etc/passwd", "proc/self/environ", "etc\\passwd", "gallery.vsearch/FORMAT")
_STEPS = (
    "../",
    "..\\",
    "..;/",
    ".../",
    "....//",
    "%2e%2e/",
    "%2e%2e%2f",
    "..%2f",
    "..%5c",
    "%252e%252e%252f",
    "%25252e%25252e%25252f",
    "..%c0%af",
    "%c0%ae%c0%ae/",
    "..%ef%bc%8f",
    "/",
    "//",
    "file:///",
    "\x00/",
    "1/../../",
    "1%00",
)


def traversals() -> list[str]:
    """Ways up, down and around, some of them encoded once, twice and three times."""
    plain = [step * times + target for step, times, target in itertools.product(_STEPS, (1, 5), _TARGETS)]
    once = [quote(text, safe="") for text in plain[:40]]
    twice = [quote(text, safe="") for text in once[:20]]
    return list(dict.fromkeys([*plain, *once, *twice, "..", ".", "~", "~root", "1.", "1/", "-1", "1e3", "0x1", "١"]))


def test_every_path_and_every_string(server: Client):
    strings = traversals()
    assert len(strings) >= 200
    for text in strings:
        sent = "".join(c if 32 < ord(c) < 127 else quote(c) for c in text)
        for route in ("/image/", "/thumbs/", "/items/", "/similar/", "/page/", "/"):
            answer = server.get(route + sent)
            assert answer.status in (400, 401, 404, 405), (route, sent)
            assert SECRET not in answer.body
        asked = quote(text, safe="")
        for route in ("/facets?collection=", "/image/1?collection=", "/thumbs/1?size=", "/similar/1?cursor=", "/?x="):
            answer = server.get(route + asked)
            assert answer.status in (404, 410, 422) or route == "/?x=", (route, asked)
            assert SECRET not in answer.body


def test_every_string_in_a_body(server: Client):
    for text in traversals():
        bodies = (
            {"parts": [{"text": text[:900]}]},
            {"parts": [{"image": text}]},
            {"parts": [{"image": encoded(text.encode())}]},
            {"parts": [{"text": "red"}], "where": text[:900]},
            {"parts": [{"text": "red"}], "collection": text},
            {"cursor": text[:90]},
        )
        for body in bodies:
            answer = server.post("/search", body)
            assert answer.status in (200, 404, 410, 422), body
            assert SECRET not in answer.body


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures, and a secret picture beside their folder."""
    folder = tmp_path / "pictures"
    (folder / "inner").mkdir(parents=True)
    for name in ("a.png", "b.png", "inner/c.png"):
        Image.new("RGB", (20, 20), "red").save(folder / name)
    Image.new("RGB", (33, 33), "blue").save(tmp_path / "secret.png")
    return folder


@pytest.fixture
def opened(tmp_path: Path, folder: Path) -> Iterator[tuple[Client, dict[str, int]]]:
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as made:
        made.add(vsearch.folder(folder))
        ids = ids_of(made)
    with serving(tmp_path / "x.vsearch") as client:
        yield client, ids


def ids_of(index: Index) -> dict[str, int]:
    with index.store.snapshot() as snapshot:
        return {os.path.basename(record.path).decode(): id for id, record in snapshot.items()}


def test_a_link_in_the_place_of_a_file(opened: tuple[Client, dict[str, int]], folder: Path, tmp_path: Path):
    client, ids = opened
    assert client.get(f"/image/{ids['a.png']}").status == 200
    for target in (tmp_path / "secret.png", Path("/etc/passwd"), folder / "b.png"):
        (folder / "a.png").unlink()
        (folder / "a.png").symlink_to(target)
        assert client.get(f"/image/{ids['a.png']}").status == 404
        assert client.get(f"/thumbs/{ids['a.png']}").status == 404
    assert client.get(f"/image/{ids['b.png']}").status == 200


def test_a_link_in_the_place_of_a_folder(opened: tuple[Client, dict[str, int]], folder: Path, tmp_path: Path):
    client, ids = opened
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "secret.png", tmp_path / "elsewhere" / "c.png")
    shutil.rmtree(folder / "inner")
    (folder / "inner").symlink_to(tmp_path / "elsewhere")
    assert client.get(f"/image/{ids['c.png']}").status == 404
    assert client.get(f"/thumbs/{ids['c.png']}").status == 404


def test_what_is_no_regular_file(opened: tuple[Client, dict[str, int]], folder: Path):
    client, ids = opened
    (folder / "a.png").unlink()
    os.mkfifo(folder / "a.png")
    (folder / "b.png").unlink()
    (folder / "b.png").mkdir()
    for name in ("a.png", "b.png"):
        assert client.get(f"/image/{ids[name]}").status == 404
        assert client.get(f"/thumbs/{ids[name]}").status == 404


def test_a_collection_whose_records_point_elsewhere(tmp_path: Path):
    """An attacker's collection may name any path; what is no picture never leaves."""
    paths = [b"/etc/passwd", b"/proc/self/environ", b"/etc/../etc/passwd", b"/proc/self/root/etc/passwd", b"/dev/zero"]
    paths += [b"/a/../../etc/passwd", b"//etc/passwd", b"/etc/./passwd", b"relative/passwd", b"/etc/passwd/"]
    import numpy as np

    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as made:
        ids = made.add_vectors(paths, np.eye(len(paths), 64, dtype=np.float32))
    with serving(tmp_path / "x.vsearch") as client:
        for id in ids:
            for route in ("/image/", "/thumbs/"):
                answer = client.get(f"{route}{id}")
                assert answer.status in (404, 422)
                assert SECRET not in answer.body


@pytest.mark.parametrize("path", [b"/r/../x", b"/r/./x", b"/r//x", b"/r/", b"x", b"", b"s3://bucket/x", b"/r/a\0b"])
def test_paths_that_are_never_opened(path: bytes):
    with pytest.raises(Refused):
        open_beneath(path, (b"/r/",))


def test_a_file_is_the_one_that_was_opened(tmp_path: Path):
    """A file swapped for a link after it was opened: what is read is what was opened."""
    folder = os.fsencode(tmp_path) + b"/"
    (tmp_path / "a").write_bytes(b"first")
    fd = open_beneath(folder + b"a", (folder,))
    try:
        (tmp_path / "a").unlink()
        (tmp_path / "a").symlink_to("/etc/passwd")
        assert os.pread(fd, 10, 0) == b"first"
        assert stat.S_ISREG(os.fstat(fd).st_mode)
    finally:
        os.close(fd)


def test_no_descriptor_stays_open(server: Client):
    before = len(os.listdir("/proc/self/fd"))
    for number in range(40):
        server.get(f"/image/{number}")
        server.get(f"/thumbs/{number}")
        server.ask("HEAD", f"/image/{number}")
        server.get(f"/image/{10**6 + number}")
    assert len(os.listdir("/proc/self/fd")) <= before + 4  # a worker's pipes, at most
