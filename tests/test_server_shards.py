"""Shards served over HTTP: the truth is one index of the same pictures, and what is missing is said."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn_pictures import drawn
from serving import Client, encoded, serving

import vsearch
from vsearch.errors import QueryError
from vsearch.server import Settings, ask, schemas
from vsearch.server.service import Service

COUNT, SHARDS, ID_BITS = 18, 3, 40


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders a, b and c with an index each, and one index of all."""
    place = tmp_path_factory.mktemp("served-shards")
    folders = [place / name for name in "abc"]
    for shard, folder in enumerate(folders):
        folder.mkdir()
        for seed in range(shard, COUNT, SHARDS):
            drawn(seed, (48, 36)).save(folder / f"{seed:02d}.png")
            (folder / f"{seed:02d}.txt").write_text(f"number {seed}\n")
    for name, of in [*((folder.name, [folder]) for folder in folders), ("all", folders)]:
        with vsearch.create(place / f"{name}.vsearch", encoder="toy") as index:
            for folder in of:
                index.add(vsearch.folder(folder))
    return place


def paths(place: Path) -> list[Path]:
    return [place / f"{name}.vsearch" for name in "abc"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One cluster for all servers here: each joins what its process has joined."""
    pytest.importorskip("ray", reason="Ray is too large a dependency for every test run")
    with vsearch.cluster():
        yield


@pytest.fixture(scope="module")
def client(cluster: None, place: Path) -> Iterator[Client]:
    with serving(*paths(place), ray="local") as client:
        yield client


def whole(client: Client, **asked: object) -> dict:
    """An answer of all shards; on a busy machine one may be late."""
    until = time.monotonic() + 60
    while (told := client.search(**asked))["missing"]:
        assert time.monotonic() < until, f"{told['missing']} never answered"
    return told


def expected(place: Path, query: object, k: int, **how: object) -> list[tuple]:
    with vsearch.open(place / "all.vsearch") as index:
        return [(hit.path.name, round(hit.score, 4), hit.caption) for hit in index.search(query, k, **how)]


def seen(told: dict) -> list[tuple]:
    return [(hit["name"], round(hit["score"], 4), hit["caption"]) for hit in told["hits"]]


def test_answers_are_those_of_one_index(client: Client, place: Path):
    for text, k in (("red and blue", 5), ("green", COUNT + 1)):
        told = whole(client, parts=[{"text": text}], k=k)
        assert seen(told) == expected(place, text, k) and told["cursor"] is None and told["missing"] == []
    where = "name > '11'"
    assert seen(whole(client, parts=[{"text": "red"}], where=where)) == expected(place, "red", 24, where=where)
    picture = place / "b" / "04.png"
    mixed = [{"image": encoded(picture.read_bytes())}, {"text": "red", "weight": -0.5}]
    query = vsearch.Query(picture) - 0.5 * vsearch.Query("red")
    assert seen(whole(client, parts=mixed)) == expected(place, query, 24)


def test_a_picture_of_each_shard_is_shown(client: Client, place: Path):
    hits = whole(client, parts=[{"text": "red"}], k=COUNT)["hits"]
    assert {hit["id"] >> ID_BITS for hit in hits} == set(range(SHARDS)) and len({hit["id"] for hit in hits}) == COUNT
    for hit in hits:
        file = place / "abc"[hit["id"] >> ID_BITS] / hit["name"]
        item = client.get(f"/items/{hit['id']}").json
        assert (item["id"], item["name"], item["size"]) == (hit["id"], file.name, file.stat().st_size)
        assert client.get(f"/image/{hit['id']}").body == file.read_bytes()
    assert client.get(f"/thumbs/{hits[0]['id']}?size=160").body[:2] == b"\xff\xd8"
    for id in (SHARDS << ID_BITS, (1 << ID_BITS) + 999, 2**53 - 1):
        assert client.get(f"/items/{id}").status == client.get(f"/thumbs/{id}").status == 404


def test_what_shards_cannot_do_is_said(client: Client):
    id = whole(client, parts=[{"text": "red"}], k=1)["hits"][0]["id"]
    text = [{"text": "red"}]
    refused = [client.get(path) for path in (f"/similar/{id}", "/browse", "/map", "/facets")]
    refused += [client.post("/classify", {"labels": ["a", "b"], "ids": [id]})]
    asked = [{"parts": [{"id": id}]}, {"parts": text, "more": [id]}, {"parts": text, "rerank": True}]
    refused += [client.post("/search", one) for one in (*asked, {"parts": text, "min_confidence": 0.5})]
    for answer in refused:
        assert (answer.status, answer.kind) == (501, "NotOverShards") and "shards" in answer.json["error"]["message"]
    assert client.ask("DELETE", f"/items/{id}").status == 403
    wrong = client.post("/search", {"parts": text, "where": "nothing = "})
    assert (wrong.status, wrong.kind) == (422, "FilterError")


def test_it_is_one_collection(client: Client):
    (told,) = client.get("/collections").json["collections"]
    assert (told["name"], told["pictures"], told["writable"], told["reranks"]) == ("shards", COUNT, False, False)
    assert client.get("/healthz").json == {"status": "ok"}
    assert f"vsearch_pictures {COUNT}.0" in client.get("/metrics").body.decode()


def test_a_shard_that_dies_is_named_and_comes_back(cluster: None, place: Path):
    ray = pytest.importorskip("ray")
    asked = schemas.Search(parts=[schemas.Part(text="red")], k=COUNT)
    with Service(paths(place), Settings(port=0, ray="local")) as service:
        actor = service.collection(None).index.places[1].replicas[0].actor
        os.kill(ray.get(actor.process.remote()), signal.SIGKILL)
        until, marked = time.monotonic() + 60, False
        while True:
            told = ask.search(service, asked)
            names = {hit.name for hit in told.hits}
            if told.missing == ["b"]:
                marked = True
                assert names == {f"{n:02}.png" for n in range(COUNT) if n % SHARDS != 1}
            elif marked and not told.missing:
                break
            assert time.monotonic() < until, "it did not come back"
        assert len(names) == COUNT


def test_options_that_shards_do_not_have_are_refused(place: Path):
    with pytest.raises(QueryError, match="--writable"):
        Settings(ray="local", writable=True)
    with pytest.raises(QueryError, match="--rerank"):
        Settings(ray="local", reranker=place)
