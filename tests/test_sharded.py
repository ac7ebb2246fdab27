"""Four shards as Ray actors: the truth is one index of the same pictures, and numpy."""

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from drawn_pictures import drawn
from test_spaces import Turned

import vsearch
from vsearch.errors import ClusterError, EncoderMismatch, FilterError, QueryError
from vsearch.sharded import hits as room
from vsearch.types import Hit

COUNT, SHARDS = 24, 4


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Four folders with an index each, the same picture in two of them, and one index of all."""
    place = tmp_path_factory.mktemp("sharded")
    folders = [place / f"{shard}" for shard in range(SHARDS)]
    for shard, folder in enumerate(folders):
        folder.mkdir()
        for seed in range(shard, COUNT, SHARDS):
            drawn(seed, (48, 36)).save(folder / f"{seed:02d}.png")
    shutil.copy(folders[1] / "05.png", folders[3] / "copy.png")
    for name, of in [*((f"{n}.vsearch", [folder]) for n, folder in enumerate(folders)), ("all.vsearch", folders)]:
        with vsearch.create(place / name, encoder="toy") as index:
            for folder in of:
                index.add(vsearch.folder(folder))
    return place


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray", reason="Ray is too large a dependency for every test run")
    with vsearch.cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def sharded(cluster, place):
    with vsearch.ShardedIndex(cluster, [place / f"{n}.vsearch" for n in range(SHARDS)]) as index:
        yield index


def seen(hits) -> list[tuple]:
    return [(hit.rank, round(hit.score, 5), {hit.path, *hit.copies}, hit.width, hit.caption) for hit in hits]


def test_four_shards_answer_as_one_index(sharded, place):
    vector = np.random.default_rng(3).normal(size=64).astype(np.float32)
    picture = place / "2/06.png"
    with vsearch.open(place / "all.vsearch") as one:
        for query in ("red and blue", vector, picture, vsearch.Query("green") + picture - "red"):
            for k in (3, COUNT + 1):
                found = sharded.search(query, k, patience=60)
                assert seen(found) == seen(one.search(query, k)) and found.missing == () and not found.partial
        found = sharded.search(vector, 5, where="name > '11'", patience=60)
        assert seen(found) == seen(one.search(vector, 5, where="name > '11'"))
    assert picture not in [hit.path for hit in sharded.search(picture, COUNT)]
    assert len({hit.id for hit in sharded.search("red", COUNT)}) == COUNT
    with pytest.raises(FilterError):
        sharded.search("red", where="nothing = ")
    with pytest.raises(QueryError, match="by id"):
        sharded.search(vsearch.Query.like(3))


def pid_of(sharded, number: int) -> int:
    ray = pytest.importorskip("ray")
    return ray.get(sharded.places[number].replicas[0].actor.process.remote())


def test_a_shard_that_dies_is_told_within_a_second_and_comes_back(sharded, place):
    whole = seen(sharded.search("red and blue", COUNT, patience=60))
    os.kill(pid_of(sharded, 2), signal.SIGKILL)
    until, marked = time.monotonic() + 60, False
    while True:
        started = time.monotonic()
        found = sharded.search("red and blue", COUNT)
        assert time.monotonic() - started < 1
        if found.partial:
            marked = True
            assert found.missing == (str(place / "2.vsearch"),)
            assert [hit.path for hit in found] and all("/2/" not in str(hit.path) for hit in found)
        elif marked:
            break
        assert time.monotonic() < until, "it did not come back"
    assert seen(found) == whole


def test_a_replica_answers_for_one_that_died(cluster, place):
    with vsearch.ShardedIndex(cluster, [place / "0.vsearch", place / "1.vsearch"], replicas=2) as index:
        whole = seen(index.search("red", COUNT, patience=60))
        os.kill(pid_of(index, 0), signal.SIGKILL)
        for _ in range(4):
            found = index.search("red", COUNT, patience=60)
            assert seen(found) == whole and found.missing == ()


def test_shards_of_two_encoders_are_refused(cluster, place, tmp_path):
    with vsearch.create(tmp_path / "other.vsearch", encoder=Turned()):
        pass
    with pytest.raises(EncoderMismatch, match="0.vsearch was made with the encoder toy"):
        vsearch.ShardedIndex(cluster, [place / "0.vsearch", tmp_path / "other.vsearch"])


def test_when_no_shard_answers_that_is_an_error(sharded):
    with pytest.raises(ClusterError, match="none of the 4 shards"):
        sharded.search("red", patience=0)


# ---------------------------------------------------------------- without a cluster


def hit(rank: int, score: float, path: bytes) -> Hit:
    return Hit(rank, rank, score, path, None, 4, 3, confidence=0.5)


def test_answers_are_merged_by_score_and_the_same_bytes_fold():
    answers = {
        1: [(hit(1, 0.9, b"/b"), b"B"), (hit(2, 0.5, b"/c"), b"C")],
        0: [(hit(1, 0.7, b"/a"), b"A"), (hit(2, 0.5, b"/c2"), b"C"), (hit(3, 0.1, b"/d"), b"D")],
    }
    found = room.gathered(answers, 3, ("gone",))
    told = [(h.rank, h.id, h.raw_path, h.raw_copies, h.confidence) for h in found]
    shard = 1 << 40
    assert told == [
        (1, shard + 1, b"/b", (), None),
        (2, 1, b"/a", (), None),
        (3, 2, b"/c2", (b"/c",), None),
    ]
    assert found.partial and found.missing == ("gone",)
