"""Queries of many threads share calls of the encoder, and each gets what it would have got alone."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from serving import Client, encoded, serving

import vsearch
from vsearch.embed.toy import COLOURS, Toy
from vsearch.errors import EncoderError
from vsearch.server import Limits
from vsearch.server.batching import MOST, Batched, Batcher

TEXTS = [f"{a} {b}" for a in COLOURS for b in COLOURS][:64]


class Gate:
    """A toy encoder that waits for leave, and remembers how many it was given at once."""

    def __init__(self) -> None:
        self._inner = Toy()
        self.info, self.preprocess, self.temperature = Toy().info, Toy.preprocess, None
        self.sizes: list[int] = []
        self.inside = threading.Event()
        self.leave = threading.Event()
        self.fails: set[str] = set()

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        self.sizes.append(len(texts))
        self.inside.set()
        assert self.leave.wait(20)
        if self.fails & set(texts):
            raise EncoderError("one of them")
        return self._inner.encode_texts(texts)

    def encode_images(self, pixels: np.ndarray) -> np.ndarray:
        self.sizes.append(len(pixels))
        return self._inner.encode_images(pixels)


def waiting(batcher: Batcher, count: int) -> bool:
    return len(batcher._waiting) == count


def until(condition: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(2000):
        if condition():
            return
        done.wait(0.005)
    raise AssertionError("never came true")


def held(gate: Gate, texts: Sequence[str]) -> tuple[list[object], list[int]]:
    """Ask for one text, and for all others while the encoder is at it; answers in the order of the texts."""
    batched = Batched(gate)
    with ThreadPoolExecutor(len(texts)) as threads:
        first = threads.submit(batched.encode_texts, [texts[0]])
        assert gate.inside.wait(20)
        rest = [threads.submit(batched.encode_texts, [text]) for text in texts[1:]]
        until(lambda: waiting(batched._texts, len(texts) - 1))
        gate.leave.set()
        answers = [future.exception() or future.result()[0] for future in [first, *rest]]
    return answers, gate.sizes


def test_those_that_come_meanwhile_are_one_batch():
    answers, sizes = held(Gate(), TEXTS)
    assert sizes == [1, 63]
    assert np.array_equal(np.array(answers), Toy().encode_texts(TEXTS))


def test_a_batch_has_a_bound():
    texts = [f"{text} {n}" for n in range(3) for text in TEXTS][: 2 * MOST + 2]
    answers, sizes = held(Gate(), texts)
    assert sizes == [1, MOST, MOST, 1]
    assert np.array_equal(np.array(answers), Toy().encode_texts(texts))


def test_alone_nobody_waits():
    gate = Gate()
    gate.leave.set()
    batched = Batched(gate)
    for text in TEXTS:
        batched.encode_texts([text])
    assert gate.sizes == [1] * len(TEXTS)


def test_an_error_is_of_its_own_query():
    gate = Gate()
    gate.fails = {TEXTS[5]}
    answers, _ = held(gate, TEXTS)
    assert isinstance(answers[5], EncoderError)
    kept = [n for n in range(len(TEXTS)) if n != 5]
    assert np.array_equal(np.array([answers[n] for n in kept]), Toy().encode_texts([TEXTS[n] for n in kept]))


def test_texts_are_remembered():
    gate = Gate()
    gate.leave.set()
    batched = Batched(gate)
    once = batched.encode_texts([TEXTS[0], TEXTS[1]])
    again = batched.encode_texts([TEXTS[1], TEXTS[0]])
    assert np.array_equal(once, again[::-1]) and gate.sizes == [1, 1]


def test_64_at_once_get_what_the_library_gives_alone(server: Client, gallery: Path):
    """All kinds of queries at once, each compared with the same call of the library."""
    with vsearch.open(gallery) as index:
        pictures = sorted((gallery.parent / "pictures").rglob("*.png"))
        asked = []
        for number in range(64):
            text, picture, id = TEXTS[number], pictures[number % 48], number % 48
            asked += [
                ({"parts": [{"text": text}]}, text),
                *([({"parts": [{"image": encoded(picture.read_bytes())}]}, picture)] if number % 8 == 0 else []),
                ({"parts": [{"id": id}]}, vsearch.Query.like(id)),
                (
                    {"parts": [{"text": text, "weight": 2}, {"id": id, "weight": -0.5}], "where": "width > 80"},
                    2 * vsearch.Query(text) + -0.5 * vsearch.Query.like(id),
                ),
            ]
        with ThreadPoolExecutor(64) as threads:
            answers = list(threads.map(lambda one: server.search(**one[0], k=10)["hits"], asked))
        for (body, query), hits in zip(asked, answers, strict=True):
            alone = index.search(query, 10, where=body.get("where"))
            assert [hit["id"] for hit in hits] == [hit.id for hit in alone], body
            assert [hit["score"] for hit in hits] == pytest.approx([hit.score for hit in alone], abs=1e-6)


@pytest.fixture
def batchers(monkeypatch: pytest.MonkeyPatch) -> list[Batcher]:
    """Those that servers make from now on: the one for texts, then the one for pictures, of each encoder."""
    made: list[Batcher] = []
    original = Batcher.__init__

    def kept(self: Batcher, together: Callable) -> None:
        original(self, together)
        made.append(self)

    monkeypatch.setattr(Batcher, "__init__", kept)
    return made


def in_one_batch(gallery: Path, batchers: list[Batcher]) -> None:
    """64 texts that are certainly embedded together, for each the library's own answer."""
    with serving(gallery, limits=Limits(threads=64)) as client, vsearch.open(gallery) as index:
        client.search(parts=[{"text": "first"}])
        batcher = batchers[-2]
        with ThreadPoolExecutor(64) as threads:
            with batcher._turn:  # the encoder is busy
                answers = [threads.submit(client.search, parts=[{"text": text}], k=10) for text in TEXTS]
                until(lambda: waiting(batcher, 64))
            for text, answer in zip(TEXTS, answers, strict=True):
                alone = index.search(text, 10)
                assert [hit["id"] for hit in answer.result()["hits"]] == [hit.id for hit in alone], text


def test_one_batch_of_64_over_http(gallery: Path, batchers: list[Batcher]):
    in_one_batch(gallery, batchers)


def test_a_mix_up_would_be_seen(gallery: Path, batchers: list[Batcher], monkeypatch: pytest.MonkeyPatch):
    """The test above fails for a server that gives each query of a batch its neighbour's vector."""
    original = Batcher._run

    def mixed(self: Batcher, batch: list) -> None:
        items, futures = zip(*batch, strict=True)
        original(self, list(zip(items, futures[1:] + futures[:1], strict=True)))

    monkeypatch.setattr(Batcher, "_run", mixed)
    with pytest.raises(AssertionError, match="assert"):
        in_one_batch(gallery, batchers)
