"""S6: what leaves is a picture that browsers know, or a JPEG made here; never a page or a drawing that runs."""

import io
from pathlib import Path

import numpy as np
import pytest
from hostile_samples import bombs, no_pictures, samples
from PIL import Image
from serving import Client, encoded, serving

import vsearch
from vsearch.server import Limits
from vsearch.sources import files

TIGHT = Limits(pixels=4_000_000, decode_seconds=1.0)
SAFE = {"image/jpeg", "image/png", "image/gif", "image/webp", "image/avif"}
SCRIPT = b"<script>alert(1)</script>"
POSING = {
    "page.jpg": b"<!doctype html>" + SCRIPT,
    "drawing.jpg": b'<svg xmlns="http://www.w3.org/2000/svg">' + SCRIPT + b"</svg>",
    "drawing.svg": b'<?xml version="1.0"?><svg onload="alert(1)"/>',
    "pdf.png": b"%PDF-1.7\n",
    "empty.gif": b"",
    "text.webp": b"hello",
}
BOTH = {"both.gif": b"GIF89a/*" + SCRIPT + b"*/", "both.jpg": b"\xff\xd8\xff\xfe" + SCRIPT}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory):
    """A collection that names hostile files as if they were pictures of it."""
    place = tmp_path_factory.mktemp("hostile")
    contents = {**POSING, **BOTH}
    contents |= {f"{n}.jpg": data for n, data in enumerate(no_pictures())}
    contents |= {f"bomb{n}.png": data for n, (_, data) in enumerate(bombs())}
    for name, data in contents.items():
        (place / name).write_bytes(data)
    with vsearch.create(place / "x.vsearch", encoder="toy") as made:
        ids = made.add_vectors([place / name for name in contents], np.ones((len(contents), 64), np.float32))
    with serving(place / "x.vsearch", limits=TIGHT) as client:
        yield client, dict(zip(contents, ids.tolist(), strict=True))


def test_hostile_files(hostile: tuple[Client, dict[str, int]]):
    client, ids = hostile
    for name, id in ids.items():
        for route in ("/image/", "/thumbs/"):
            answer = client.get(f"{route}{id}")
            kind = answer.headers["Content-Type"]
            assert answer.status in (200, 404, 422), (route, name)
            assert kind in (SAFE if answer.status == 200 else {"application/json"}), (route, name)
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            if answer.status == 200:
                assert "sandbox" in answer.headers["Content-Security-Policy"]
                assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            if route == "/thumbs/":
                assert SCRIPT not in answer.body, name


@pytest.mark.parametrize("name", POSING)
def test_what_poses_as_a_picture_does_not_leave(hostile: tuple[Client, dict[str, int]], name: str):
    client, ids = hostile
    assert client.get(f"/image/{ids[name]}").status == 422
    assert client.get(f"/thumbs/{ids[name]}").status == 422


def test_originals_are_the_bytes_of_the_file(server: Client, gallery: Path):
    answer = server.get("/image/5")
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.body == (gallery.parent / "pictures" / server.get("/items/5").json["name"]).read_bytes()
    head = server.ask("HEAD", "/image/5")
    assert head.headers["Content-Length"] == str(len(answer.body)) and head.body == b""


def test_thumbnails_are_small_jpegs_without_metadata(tmp_path: Path):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", 6
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 0.0), 3: "E", 4: (13.0, 24.0, 0.0)})
    Image.new("RGB", (900, 600), "green").save(tmp_path / "a.jpg", exif=exif, comment=b"secret comment")
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as made:
        made.add(files([tmp_path / "a.jpg"]))
    with serving(tmp_path / "x.vsearch") as client:
        for size in (160, 320):
            data = client.get(f"/thumbs/0?size={size}").body
            image = Image.open(io.BytesIO(data))
            assert (image.format, image.size) == ("JPEG", (round(size * 2 / 3), size))  # upright
            assert not image.getexif() and "exif" not in image.info and "comment" not in image.info
            assert b"Maker" not in data and b"secret" not in data
        assert client.get("/thumbs/0?size=161").status == 422
        assert client.get("/items/0").json["latitude"] == 52.5


@pytest.mark.parametrize("ending", ["bmp", "tiff"])
def test_other_formats_leave_as_jpeg(tmp_path: Path, ending: str):
    Image.new("RGB", (30, 20), "green").save(tmp_path / f"a.{ending}")
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as made:
        made.add(files([tmp_path / f"a.{ending}"]))
    with serving(tmp_path / "x.vsearch") as client:
        answer = client.get("/image/0")
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert Image.open(io.BytesIO(answer.body)).size == (30, 20)


def test_an_unchanged_picture_is_not_sent_again(server: Client):
    for path in ("/thumbs/3", "/image/3"):
        tag = server.get(path).headers["ETag"]
        again = server.get(path, If_None_Match=tag)
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
        assert server.get(path, If_None_Match='"other"').status == 200
    assert server.get("/thumbs/3").headers["ETag"] != server.get("/thumbs/4").headers["ETag"]


def test_uploads_are_decoded_by_workers(gallery: Path):
    """Every supported format is a query; what is none, or costs too much, is refused by a server that goes on."""
    with serving(gallery, limits=TIGHT) as client:

        def asked(data: bytes) -> int:
            return client.post("/search", {"parts": [{"image": encoded(data)}]}).status

        assert {asked(sample.data) for sample in samples(1)} == {200}
        assert {asked(data) for data in no_pictures()} == {422}
        assert {asked(data) for _, data in bombs()} <= {200, 422}
        assert client.get("/healthz").status == 200
