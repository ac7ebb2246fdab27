"""The parts of the `ann` suite: what it computes, and the processes that it talks to."""

import itertools
import math
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
DIM, N = 32, 600


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.syspath_prepend(str(BENCHMARKS / "peers"))


def unit(n: int, seed: int) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "images.npy", unit(N, 0))
    np.save(tmp_path / "text_queries.npy", unit(50, 1))
    np.save(tmp_path / "image_queries.npy", unit(50, 2))
    return tmp_path


def test_the_front_is_what_none_beats():
    from frontier import front

    rng = np.random.default_rng(0)
    points = [(float(r), float(s)) for r, s in rng.integers(0, 12, (40, 2))]
    kept = {p for p in points if not any(q != p and q[0] >= p[0] and q[1] >= p[1] for q in points)}
    assert front(points) == sorted(kept)
    assert front([]) == []


def test_speed_at_a_recall_lies_between_its_neighbours():
    from frontier import speed_at

    points = [(0.90, 1000.0), (0.98, 100.0), (0.93, 50.0)]
    assert speed_at(points, 0.90) == 1000 and speed_at(points, 0.98) == pytest.approx(100)
    assert speed_at(points, 0.94) == pytest.approx(math.sqrt(1000 * 100))
    assert speed_at(points, 0.5) == 1000, "at least that"
    assert speed_at(points, 0.99) is None and speed_at([], 0.1) is None


def test_recall_is_the_share_of_the_best_and_ties_count(folder: Path):
    from suites.ann import Truth

    rows = np.load(folder / "images.npy")
    rows[20] = rows[10]
    np.save(folder / "images.npy", rows)
    queries = np.load(folder / "text_queries.npy")
    queries[0] = rows[10]
    np.save(folder / "text_queries.npy", queries)
    truth = Truth(folder, "text", 50)
    best = np.argsort(-(queries @ rows.T), axis=1, kind="stable")[:, :10]
    assert truth.recall(best) == 1.0
    half = best.copy()
    half[:, 5:] = -1
    assert truth.recall(half) == 0.5
    assert truth.recall(np.repeat(best[:, :1], 10, axis=1)) == pytest.approx(0.1), "one picture counts once"
    swapped = best.copy()
    swapped[0, list(best[0]).index(20)] = 10
    swapped[0, list(best[0]).index(10)] = 20
    assert truth.recall(swapped) == 1.0


@pytest.mark.parametrize("mapped", [False, True])
def test_faiss_by_hand_in_its_own_process_finds_what_is_there(folder: Path, mapped: bool):
    from peer import RunningPeer
    from suites.ann import Truth

    index = faiss.index_factory(DIM, "IVF4,SQ8", faiss.METRIC_INNER_PRODUCT)
    if mapped:
        # Data goes through A and a shift, as a query-aware transform does; queries must go through its inverse.
        linear = faiss.LinearTransform(DIM, DIM, True)
        matrix = np.random.default_rng(3).normal(size=(DIM, DIM)) + 3 * np.eye(DIM)
        faiss.copy_array_to_vector(matrix.astype(np.float32).ravel(), linear.A)
        faiss.copy_array_to_vector(np.ones(DIM, np.float32), linear.b)
        linear.is_trained = True
        index = faiss.IndexPreTransform(linear, index)
    index.train(unit(N, 0))
    index.add(unit(N, 0))
    faiss.write_index(index, str(folder / "i.faiss"))
    with RunningPeer("faiss", folder / "log") as peer:
        told = peer.ask("build", folder=str(folder), options={"file": str(folder / "i.faiss")})
        assert told["bytes"] == (folder / "i.faiss").stat().st_size and told["peak_mb"] >= 0
        assert {"nprobe": 64, "rescore": 16} in peer.ask("sweep", modality="text")["settings"]
        asked = {"modality": "text", "count": 50, "k": 10, "settings": {"nprobe": 4, "rescore": 16}}
        single, batch = (peer.ask("search", batch=size, **asked) for size in (1, 100))
    assert single["ids"] == batch["ids"] and single["seconds"] > 0
    assert Truth(folder, "text", 50).recall(np.array(single["ids"])) > 0.99


def test_a_peer_that_fails_says_what_it_said_last(folder: Path):
    from peer import PeerFailed, RunningPeer

    with RunningPeer("faiss", folder / "log") as peer, pytest.raises(PeerFailed, match="none.faiss"):
        peer.ask("build", folder=str(folder), options={"file": str(folder / "none.faiss")})


def test_what_cannot_be_installed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import venvs

    monkeypatch.setattr(venvs, "CACHE", tmp_path)
    monkeypatch.setitem(venvs.REQUIREMENTS, "scann", ("./no-such-package",))
    with pytest.raises(venvs.CannotInstall, match="scann cannot be installed .*--peers"):
        venvs.python_of("scann")


def test_all_lists_settings_are_tried():
    from sweeps import GRID, grid

    for modality, (nprobes, depths) in GRID.items():
        assert [(s["nprobe"], s["rescore"]) for s in grid(modality)] == list(itertools.product(nprobes, depths))


def figures() -> dict:
    def point(peer: str, settings: dict, recall: float, single: float) -> dict:
        return {
            "peer": peer,
            "modality": "text",
            "settings": settings,
            "recall@10": recall,
            "queries_per_second_batch_1": single,
            "queries_per_second_batch_100": 2 * single,
        }

    points = [
        point("vsearch", {"own": "text"}, 0.96, 1200.0),
        point("vsearch", {"nprobe": 64}, 0.99, 600.0),
        point("hnswlib", {"ef": 64}, 0.80, 900.0),
    ]
    build = {"what": "a tree", "bytes per vector": 88.5, "build CPU seconds": 12.0, "peak MB": 1234}
    return {
        "vectors": 1000,
        "builds": {"vsearch": build, "hnswlib": build},
        "left out": {"scann": "scann cannot be installed"},
        "points": points + [{**p, "modality": "image"} for p in points],
    }


def test_the_tables_show_speed_at_equal_recall():
    from suites.ann import tables

    page = tables(figures())
    assert "| vsearch | a tree | 88.5 | 12.0 | 1,234 |" in page
    ours = next(line for line in page if line.startswith("| vsearch | 0.990"))
    assert ours.startswith("| vsearch | 0.990 | 1,200 / 2,400 | 1,200 / 2,400 | 1,200 / 2,400 |")
    assert ours.endswith("| 0.960: 1,200 / 2,400 |")
    assert "| hnswlib | 0.800 | – | – | – | – | – |  |" in page
    assert "Left out: scann cannot be installed" in page


def test_the_page_has_the_tables_and_the_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import json

    import run as runner

    (tmp_path / "ann.json").write_text(json.dumps({"suite": "ann", "figures": figures(), "machine": {"CPU": "abacus"}}))
    (tmp_path / "ann.svg").write_text("<svg/>")
    monkeypatch.setattr(runner, "RESULTS", tmp_path)
    page = runner.report()
    assert "| vectors | 1,000 |" in page and "| vsearch | a tree |" in page and "(results/ann.svg)" in page
    assert "{'" not in page, "nothing nested is shown as it is"


@pytest.fixture(autouse=True)
def forget_modules():
    """Modules of the benchmarks have plain names; no other test should see them."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
