"""Re-ranking over HTTP: the library's answer, for what the library re-ranks, at a bounded cost."""

import shutil
import threading
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from serving import Client, serving

import vsearch
from vsearch.embed.patches import MiniPatches
from vsearch.errors import EncoderUnavailable
from vsearch.rerank import DEPTH, Reranker, drop_patches, load_matcher, save_matcher, store_patches
from vsearch.rerank.model import Matcher, MatcherConfig
from vsearch.server import Settings, reranking, running
from vsearch.server.service import Service
from vsearch.types import Hit

TEXT, COUNT = "a red thing", DEPTH + 7
TOWERS = MiniPatches()


def alone(place: Path) -> Reranker:
    return Reranker(load_matcher(place / "matcher"), TOWERS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``gallery.vsearch`` with patches of all pictures stored, and ``matcher``, of random weights."""
    place = tmp_path_factory.mktemp("reranked")
    (place / "pictures").mkdir()
    for n in range(COUNT):
        Image.new("RGB", (40, 30), (4 * n, 255 - 3 * n, 37 * n % 256)).save(place / "pictures" / f"{n:02}.png")
    torch.manual_seed(0)
    save_matcher(Matcher(MatcherConfig("mini", 81, 363, 384, width=32)).eval(), place / "matcher")
    with vsearch.create(place / "gallery.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(place / "pictures"))
        store_patches(index.store, TOWERS)
    return place


@pytest.fixture(scope="module")
def library(place: Path) -> list[Hit]:
    """All pictures in the library's order."""
    with vsearch.open(place / "gallery.vsearch") as index:
        hits = index.search(TEXT, COUNT)
        told = alone(place).rerank(TEXT, hits)
    assert [hit.id for hit in told] != [hit.id for hit in hits]
    return told


@pytest.fixture(scope="module")
def client(place: Path):
    with serving(place / "gallery.vsearch", reranker=place / "matcher") as client:
        yield client


def ask(client: Client, **more: object) -> dict:
    return client.search(parts=[{"text": TEXT}], rerank=True, **more)


@pytest.mark.parametrize("k", [3, 20, DEPTH, COUNT])
def test_pages_are_the_library_s_order(client: Client, library: list[Hit], k: int):
    page, found = ask(client, k=k), []
    best = page["confidence"]
    while True:
        found += page["hits"]
        if page["cursor"] is None:
            break
        page = client.search(cursor=page["cursor"])
        assert page["confidence"] == best
    assert [(hit["id"], round(hit["score"], 5)) for hit in found] == [(h.id, round(h.score, 5)) for h in library]
    plain = client.search(parts=[{"text": TEXT}], k=k)
    assert best == plain["confidence"] and len({hit["id"] for hit in found}) == COUNT


def test_a_filter_goes_before(client: Client, place: Path):
    where = "name < '20'"
    with vsearch.open(place / "gallery.vsearch") as index:
        hits = index.search(TEXT, DEPTH, where=where)
        expected = [hit.id for hit in alone(place).rerank(TEXT, hits)]
    assert [hit["id"] for hit in ask(client, where=where, k=50)["hits"]] == expected and len(expected) == 20


def test_collections_say_whether_they_rerank(client: Client, server: Client):
    assert client.get("/collections").json["collections"][0]["reranks"] is True
    assert server.get("/collections").json["collections"][0]["reranks"] is False


@pytest.mark.parametrize(
    "parts",
    [
        [{"id": 1}],
        [{"text": "a"}, {"text": "b"}],
        [{"text": "a"}, {"id": 1, "weight": -1}],
        [{"text": "a", "weight": -1}],
        [],
    ],
)
def test_only_one_text_is_reranked(client: Client, parts: list):
    answer = client.post("/search", {"parts": parts, "rerank": True})
    assert answer.status == 422, answer.body


def test_a_server_without_says_so(server: Client):
    answer = server.post("/search", {"parts": [{"text": "red"}], "rerank": True})
    assert answer.status == 422 and "vsearch serve --rerank" in answer.json["error"]["message"]


def test_a_folder_that_is_none_ends_the_start(place: Path):
    with pytest.raises(EncoderUnavailable):
        with running([place / "gallery.vsearch"], Settings(port=0, reranker=place / "pictures")):
            pass


def test_pictures_that_are_not_stored_are_read_for_a_while(place: Path, tmp_path: Path, library: list[Hit]):
    with vsearch.open(place / "gallery.vsearch") as index:
        index.backup(tmp_path / "bare.vsearch")
    with vsearch.open(tmp_path / "bare.vsearch", write=True) as index:
        drop_patches(index.store, TOWERS)
        hits = index.search(TEXT, 12)
        shutil.move(hits[3].path, tmp_path / "away.png")
        expected = [hit.id for hit in alone(place).rerank(TEXT, hits)]
    settings = Settings(port=0, reranker=place / "matcher")
    with Service([tmp_path / "bare.vsearch"], settings) as service:
        found = service.collection(None).ask(lambda index: service.reranking.order(index, TEXT, hits))
        shutil.move(tmp_path / "away.png", hits[3].path)
        assert [hit.id for hit in found] == expected and expected[-1] == hits[3].id
        hurried = reranking.Reranking(place / "matcher", service.pixels, seconds=0.0)
        found = service.collection(None).ask(lambda index: hurried.order(index, TEXT, hits))
        assert [hit.id for hit in found] == [hit.id for hit in hits]  # nothing was read: as the search had it


def test_only_a_few_at_once(client: Client, monkeypatch: pytest.MonkeyPatch):
    """Those who find no place are told soon, and leave the threads to others."""
    monkeypatch.setattr(reranking, "WAIT_SECONDS", 0.05)
    inside, leave = threading.Barrier(reranking.AT_ONCE + 1), threading.Event()

    def slow(*_: object) -> list[Hit]:
        inside.wait(10)
        leave.wait(10)
        return []

    monkeypatch.setattr(Reranker, "rerank", slow)
    busy = [threading.Thread(target=ask, args=(client,)) for _ in range(reranking.AT_ONCE)]
    for thread in busy:
        thread.start()
    inside.wait(10)
    started = time.monotonic()
    answer = client.post("/search", {"parts": [{"text": TEXT}], "rerank": True})
    assert (answer.status, answer.kind) == (503, "Busy") and time.monotonic() - started < 5
    assert client.post("/search", {"parts": [{"text": TEXT}]}).status == 200
    leave.set()
    for thread in busy:
        thread.join()
