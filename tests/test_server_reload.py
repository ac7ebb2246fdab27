"""What changes in an index shows in the answers at once, without a restart, and never a wrong one in between."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from serving import Client, serving

import vsearch
from vsearch.embed.toy import Toy
from vsearch.index import Index
from vsearch.server.collection import Collection, name_of
from vsearch.types import Hit

RED = [{"text": "red"}]


def picture(path: Path, colour: str, size: int = 20) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (size, 20), colour).save(path)
    return path


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Index]:
    """An index of one red and one blue picture, open for writing as another process would have it."""
    picture(tmp_path / "p" / "red.png", "red")
    picture(tmp_path / "p" / "blue.png", "blue")
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as made:
        made.add(vsearch.folder(tmp_path / "p"))
        yield made


def names(client: Client, **asked: object) -> list[str]:
    return [hit["name"] for hit in client.search(**({"parts": RED} | asked))["hits"]]


def test_added_and_removed_pictures(made: Index, tmp_path: Path):
    with serving(tmp_path / "x.vsearch") as client:
        before = client.search(parts=RED)["generation"]
        assert names(client, k=1) == ["red.png"]
        picture(tmp_path / "p" / "also.png", "red", 30)
        made.add(vsearch.folder(tmp_path / "p"))
        assert set(names(client, k=2)) == {"red.png", "also.png"}
        assert set(names(client, where="width = 30")) == {"also.png"}
        gone = made.search("red", 2)[1].id
        made.remove([gone])
        assert len(names(client)) == 2
        assert client.get(f"/items/{gone}").status == client.get(f"/thumbs/{gone}").status == 404
        assert client.search(parts=RED)["generation"] != before


def test_a_new_generation(made: Index, tmp_path: Path):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3000, 64)).astype(np.float32)
    made.add_vectors([f"v{n}".encode() for n in range(3000)], rows)
    with serving(tmp_path / "x.vsearch") as client:
        exact = names(client, k=50)
        made.build("ivf-flat")
        assert names(client, k=50)[:10] == exact[:10]
        made.build("flat")
        assert names(client, k=50) == exact


class Turned(Toy):
    """The toy encoder with its axes in reverse: the same answers, but only from vectors of one and the same encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.info = replace(self.info, name="turned", weights="f" * 64)

    def encode_images(self, pixels: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(super().encode_images(pixels)[:, ::-1])

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.ascontiguousarray(super().encode_texts(texts)[:, ::-1])


def test_a_swapped_space(made: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The other encoder's answers, by its own vectors, from the first question after the swap."""
    encoders = {"toy": Toy, "turned": Turned}
    monkeypatch.setattr("vsearch.search.searcher.load_pinned", lambda info, origin, before: encoders[info.name]())
    with serving(tmp_path / "x.vsearch") as client:
        assert client.get("/collections").json["collections"][0]["encoder"] == "toy"
        assert names(client, k=1) == ["red.png"]
        made.change_encoder(Turned())
        assert client.get("/collections").json["collections"][0]["encoder"] == "turned"
        assert names(client, k=1) == ["red.png"]
        got = client.search(parts=[{"id": 0}], include_query=True)["hits"]
        alone = made.search(vsearch.Query.like(0), 24, include_query=True)
        assert [(hit["id"], round(hit["score"], 5)) for hit in got] == [(hit.id, round(hit.score, 5)) for hit in alone]
        made.use_space("toy")
        assert names(client, k=1) == ["red.png"]


def rebuilt(tmp_path: Path, colours: list[str], place: str) -> Path:
    folder = tmp_path / ("pictures-" + place.removesuffix(".vsearch"))
    for colour in colours:
        picture(folder / f"{place}-{colour}.png", colour)
    with vsearch.create(tmp_path / place, encoder="toy") as made:
        made.add(vsearch.folder(folder))
    return tmp_path / place


def swap(new: Path, old: Path, aside: Path) -> None:
    os.rename(old, aside)
    os.rename(new, old)


def test_a_rebuilt_index_in_the_place_of_the_old(tmp_path: Path):
    place = rebuilt(tmp_path, ["red", "blue"], "x.vsearch")
    new = rebuilt(tmp_path, ["red", "green", "white"], "new.vsearch")
    with serving(place) as client:
        first = client.search(parts=RED, k=1)
        assert first["hits"][0]["name"] == "x.vsearch-red.png"
        tag = client.get("/thumbs/0").headers["ETag"]
        swap(new, place, tmp_path / "old.vsearch")
        assert names(client) == ["new.vsearch-red.png", *names(client)[1:]]
        assert len(names(client)) == 3
        assert client.post("/search", {"cursor": first["cursor"]}).kind == "CursorExpired"
        assert client.get("/thumbs/0", If_None_Match=tag).status == 200  # another picture has the id now
        shutil.rmtree(tmp_path / "old.vsearch")
        assert len(names(client)) == 3


def test_while_it_is_away_the_old_one_answers(tmp_path: Path):
    place = rebuilt(tmp_path, ["red", "blue"], "x.vsearch")
    new = rebuilt(tmp_path, ["red", "green", "white"], "new.vsearch")
    with serving(place) as client:
        os.rename(place, tmp_path / "old.vsearch")
        assert names(client, k=1) == ["x.vsearch-red.png"]
        place.mkdir()  # half of it is there
        (place / "meta").mkdir()
        assert names(client, k=1) == ["x.vsearch-red.png"]
        shutil.rmtree(place)
        shutil.rmtree(tmp_path / "old.vsearch")
        assert names(client, k=1) == ["x.vsearch-red.png"]
        os.rename(new, place)
        assert names(client, k=1) == ["new.vsearch-red.png"]


def test_no_answer_is_wrong_or_missing_in_between(tmp_path: Path):
    """Clients that ask all the time while the index is replaced eight times: each answer is of the one or the other."""
    place = rebuilt(tmp_path, ["red", "blue"], "x.vsearch")
    spare = rebuilt(tmp_path, ["red", "green", "white"], "new.vsearch")
    allowed = {("x.vsearch-red.png", 2), ("new.vsearch-red.png", 3)}
    seen: list[object] = []
    stop = threading.Event()

    def ask(client: Client) -> None:
        while not stop.is_set():
            answer = client.post("/search", {"parts": RED})
            hits = answer.json.get("hits", [])
            seen.append((hits[0]["name"], len(hits)) if answer.status == 200 and hits else answer.body)

    with serving(place) as client:
        threads = [threading.Thread(target=ask, args=(client,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(8):
            had = len(seen)
            swap(spare, place, tmp_path / "aside")
            os.rename(tmp_path / "aside", spare)
            until(lambda had=had: len(seen) > had + 20)
        stop.set()
        for thread in threads:
            thread.join()
    assert set(seen) == allowed, set(seen) - allowed


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(4000):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("never came true")


def test_the_old_index_is_closed_when_its_last_question_is_answered(tmp_path: Path):
    place = rebuilt(tmp_path, ["red", "blue"], "x.vsearch")
    new = rebuilt(tmp_path, ["red", "green", "white"], "new.vsearch")
    collection = Collection("x", place, lambda *_: None)
    asked, finish = threading.Event(), threading.Event()
    kept: list[Index] = []
    answers: list[list[Hit]] = []

    def slow(index: Index) -> list[Hit]:
        kept.append(index)
        asked.set()
        assert finish.wait(20)
        return index.search("red", 5)

    thread = threading.Thread(target=lambda: answers.append(collection.ask(slow)))
    thread.start()
    assert asked.wait(20)
    swap(new, place, tmp_path / "old.vsearch")
    assert len(collection.ask(lambda index: index.search("red", 5))) == 3
    assert len(kept[0]) == 2  # still open
    finish.set()
    thread.join()
    assert len(answers[0]) == 2
    with pytest.raises(vsearch.errors.IndexClosed):
        len(kept[0])
    collection.close()
    with pytest.raises(vsearch.errors.IndexClosed):
        collection.ask(len)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/Photos.vsearch", "photos"),
        ("My Trip 2024.vsearch", "my-trip-2024"),
        ("ünï.vsearch", "n"),
        ("日本.vsearch", "pictures"),
        ("x" * 100, "x" * 64),
    ],
)
def test_names_of_collections(path: str, name: str):
    assert name_of(Path(path)) == name


def test_several_collections(gallery: Path, tmp_path: Path):
    other = rebuilt(tmp_path, ["red", "blue"], "other.vsearch")
    with serving(gallery, other) as client:
        told = {one["name"]: one["pictures"] for one in client.get("/collections").json["collections"]}
        assert told == {"gallery": 48, "other": 2}
        assert len(names(client)) == 24 and len(names(client, collection="other")) == 2
        assert client.get("/items/40").status == 200 and client.get("/items/40?collection=other").status == 404
        assert client.post("/search", {"parts": RED, "collection": "third"}).status == 404
        first = client.search(parts=RED, collection="other", k=1)
        assert len(client.search(cursor=first["cursor"])["hits"]) == 1
    with pytest.raises(vsearch.errors.QueryError, match="two of the collections"), serving(gallery, gallery):
        pass
