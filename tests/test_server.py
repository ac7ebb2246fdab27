"""The routes' answers, compared with the library's, and the command."""

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from serving import Client, encoded, serving

import vsearch


def test_search_is_the_library_s(server: Client, gallery: Path):
    with vsearch.open(gallery) as index:
        answer = server.search(parts=[{"text": "red and blue"}], k=7)
        hits = index.search("red and blue", 7)
        assert [hit["id"] for hit in answer["hits"]] == [hit.id for hit in hits]
        for got, hit in zip(answer["hits"], hits, strict=True):
            assert got["score"] == pytest.approx(hit.score, abs=1e-6)
            assert got["confidence"] == hit.confidence or got["confidence"] == pytest.approx(hit.confidence, abs=1e-6)
            assert (got["width"], got["height"], got["caption"]) == (hit.width, hit.height, hit.caption)
            assert hit.path == gallery.parent / "pictures" / got["name"]
        assert answer["nothing_matches"] is False


def test_feedback_and_crops(server: Client, gallery: Path):
    path = gallery.parent / "pictures" / "home" / "01.png"
    half = vsearch.Crop(path, vsearch.Box(0, 0, 0.5, 1, "fractions"))
    image = {"image": encoded(path.read_bytes()), "crop": [0, 0, 0.5, 1]}
    with vsearch.open(gallery) as index:
        for body, query, options in (
            ({"parts": [image]}, half, {}),
            ({"parts": [{"text": "red"}], "more": [3, 4], "less": [5]}, "red", {"more": [3, 4], "less": [5]}),
            ({"parts": [{"id": 3}], "include_query": True}, vsearch.Query.like(3), {"include_query": True}),
            ({"parts": [{"text": "red"}], "min_confidence": 0.5}, "red", {"min_confidence": 0.5}),
        ):
            if "min_confidence" in body and index.search("red", 1)[0].confidence is None:
                continue
            got = server.search(**body, k=9)["hits"]
            assert [hit["id"] for hit in got] == [hit.id for hit in index.search(query, 9, **options)], body


def test_scrolling_is_the_library_s(server: Client, gallery: Path):
    with vsearch.open(gallery) as index:
        for where in (None, "folder = 'trips/'"):
            page = server.search(parts=[{"text": "green"}], k=10, **({"where": where} if where else {}))
            seen = [[hit["id"] for hit in page["hits"]]]
            while page["cursor"]:
                page = server.search(cursor=page["cursor"])
                seen.append([hit["id"] for hit in page["hits"]])
            assert seen == [[hit.id for hit in hits] for hits in index.pages("green", 10, where=where)]


def test_similar(server: Client, gallery: Path):
    with vsearch.open(gallery) as index:
        got = server.get("/similar/5?k=6&where=width%20%3E%2080").json["hits"]
        assert [hit["id"] for hit in got] == [h.id for h in index.search(vsearch.Query.like(5), 6, where="width > 80")]
        assert server.get("/similar/48").status == 404


def test_classify(server: Client, gallery: Path):
    labels = ["red", "green", "blue"]
    picture = gallery.parent / "pictures" / "home" / "01.png"
    with vsearch.open(gallery) as index:
        got = server.post("/classify", {"labels": labels, "ids": [1, 2]}).json["pictures"]
        got += server.post("/classify", {"labels": labels, "image": encoded(picture.read_bytes())}).json["pictures"]
        wanted = [index.classify(query, labels) for query in (vsearch.Query.like(1), vsearch.Query.like(2), picture)]
        assert [one["id"] for one in got] == [1, 2, None]
        for one, told in zip(got, wanted, strict=True):
            assert [label["name"] for label in one["labels"]] == [label.name for label in told]
            confidences = [label["confidence"] for label in one["labels"]]
            assert confidences == pytest.approx([label.confidence for label in told], abs=1e-6)
        assert server.post("/classify", {"labels": labels, "ids": [999]}).status == 422


def test_items_and_collections(server: Client, gallery: Path):
    item = server.get("/items/0").json
    path = gallery.parent / "pictures" / item["name"]
    assert item["size"] == path.stat().st_size
    assert item["modified"] == pytest.approx(path.stat().st_mtime)
    assert (item["width"], item["height"]) == Image.open(io.BytesIO(path.read_bytes())).size
    assert item["caption"] == path.with_suffix(".txt").read_text().strip()
    (one,) = server.get("/collections").json["collections"]
    assert (one["name"], one["pictures"], one["encoder"], one["writable"]) == ("gallery", 48, "toy", False)
    assert {"name": "width", "kind": "UINTEGER"} in one["columns"]


def test_duplicates_are_named(tmp_path: Path):
    for name in ("a", "b/c", "d"):
        (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), "red").save(tmp_path / "p" / f"{name}.png")
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as made:
        made.add(vsearch.folder(tmp_path / "p"))
    with serving(tmp_path / "x.vsearch") as client:
        (hit,) = client.search(parts=[{"text": "red"}])["hits"]
        assert hit["duplicates"] == 2
        others = client.get(f"/items/{hit['id']}").json["duplicates"]
        assert {*others, hit["name"]} == {"a.png", "b/c.png", "d.png"}


def test_facets(tmp_path: Path):
    """Counted again by a plain loop over what was written."""
    exif, written = Image.Exif(), []
    for number in range(30):
        folder = ["trips/rome/", "trips/oslo/", "home/"][number % 3]
        month, camera = f"20{20 + number % 2}:0{1 + number % 4}", ["Nikon", "Canon"][number % 5 == 0]
        (tmp_path / "p" / folder).mkdir(parents=True, exist_ok=True)
        exif[0x010F], exif[0x0110] = camera, camera
        exif.get_ifd(0x8769)[0x9003] = f"{month}:15 12:00:00"
        Image.new("RGB", (20 + number, 20)).save(tmp_path / "p" / folder / f"{number}.jpg", exif=exif)
        written.append((folder, month.replace(":", "-"), camera, 20 + number))
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as made:
        made.add(vsearch.folder(tmp_path / "p"))
    with serving(tmp_path / "x.vsearch") as client:
        for where, kept in ((None, written), ("width >= 35", [row for row in written if row[3] >= 35])):
            told = client.get("/facets" + ("?where=width%20%3E%3D%2035" if where else "")).json
            pairs = {key: [(v["value"], v["count"]) for v in told[key]] for key in ("folders", "months")}
            folders = Counter(f for row in kept for f in ({row[0], "trips/"} if "trips" in row[0] else {row[0]}))
            assert told["total"] == len(kept)
            assert pairs["folders"] == sorted(folders.items())
            assert pairs["months"] == sorted(Counter(row[1] for row in kept).items())
            columns = {one["column"]: {v["value"]: v["count"] for v in one["values"]} for one in told["columns"]}
            cameras = Counter(row[2] for row in kept)
            assert {value.split()[0]: count for value, count in columns["camera"].items()} == cameras
            assert columns["ext"] == {"jpg": len(kept)}
        assert client.get("/facets?where=width%20%3E").kind == "FilterError"


def test_the_description_names_every_route(server: Client):
    from serving import routes

    paths = server.get("/openapi.json").json["paths"]
    told = {(method.upper(), path.replace("{id}", "1")) for path, one in paths.items() for method in one}
    assert told == set(routes()) - {("GET", "/openapi.json"), ("GET", "/"), ("GET", "/page/app.js")}


def test_metrics_count(server: Client):
    def count() -> float:
        rows = server.get("/metrics").body.decode().splitlines()
        name = 'vsearch_requests_total{route="/items/{id}",status="404"}'
        return next((float(row.split()[1]) for row in rows if row.startswith(name)), 0)

    before = count()
    for _ in range(3):
        server.get("/items/9999")
    assert count() == before + 3


def test_the_async_face(gallery: Path):
    """Searches that run at once give what they give one by one, and the loop goes on meanwhile."""
    with vsearch.open(gallery) as index:
        texts = ["red", "blue", "green white", "black"]

        async def together() -> tuple[list[list[vsearch.Hit]], int]:
            ticks = 0
            searches = asyncio.gather(*(index.asearch(text, 5, where="width > 70") for text in texts))
            while not searches.done():
                ticks += 1
                await asyncio.sleep(0)
            return await searches, ticks

        answers, ticks = asyncio.run(together())
        assert answers == [index.search(text, 5, where="width > 70") for text in texts]
        assert ticks > 1
        with pytest.raises(vsearch.errors.QueryError):
            asyncio.run(index.asearch("red", 0))
    with pytest.raises(vsearch.errors.IndexClosed):
        asyncio.run(index.asearch("red"))


def test_the_command(gallery: Path):
    run = [sys.executable, "-m", "vsearch", "serve", os.fspath(gallery), "--port", "0", "--no-token"]
    with subprocess.Popen(run, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = process.stderr.readline().split()[-1]
        client = Client("127.0.0.1", int(address.rsplit(":", 1)[1].strip("/")))
        assert client.search(parts=[{"text": "red"}], k=1)["hits"]
        assert client.get("/").headers["Content-Type"].startswith("text/html")
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
    assert process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in rest


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0", "--no-token"], "a token is needed"),
        (["--no-token", "--token-file", "x"], "exclude each other"),
        (["--port", "99999"], "99999"),
        (["--host", "203.0.113.1"], "cannot serve on 203.0.113.1"),
    ],
)
def test_the_command_refuses(gallery: Path, options: list[str], words: str):
    run = [sys.executable, "-m", "vsearch", "serve", os.fspath(gallery), *options]
    told = subprocess.run(run, capture_output=True, text=True, check=False)
    assert told.returncode == 2 and words in told.stderr and "Traceback" not in told.stderr
