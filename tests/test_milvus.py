"""Export to Milvus, against milvus-lite.  Not in the test dependencies: it brings faiss-cpu over faiss-gpu's files."""

import os
from pathlib import Path

import numpy as np
import pytest

import vsearch
from vsearch.cli import main
from vsearch.errors import ExportError
from vsearch.export import milvus as room
from vsearch.index import Index

pytest.importorskip("milvus_lite")
pymilvus = pytest.importorskip("pymilvus")

DIM = 24


def rows(n: int, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(n, DIM))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One milvus-lite for all tests: starting takes a second."""
    return str(tmp_path_factory.mktemp("milvus") / "lite.db")


@pytest.fixture
def made(tmp_path: Path):
    with vsearch.create(tmp_path / "shop.vsearch", encoder=f"external:m:{DIM}") as index:
        meta = {
            "caption": [None if i % 3 else f"caption ü {i}" for i in range(250)],
            "width": [i or None for i in range(250)],
            "price": [i / 4 for i in range(250)],
            "path": [f"column {i}" for i in range(250)],
            "taken": ["2024-05-06T07:08:09"] * 250,
        }
        index.add_vectors([f"/p/{i}.jpg" if i else b"/p/\xff.jpg" for i in range(250)], rows(250), meta)
        yield index


def everything(server: str, name: str) -> dict[int, dict]:
    client = pymilvus.MilvusClient(server)
    found = client.query(name, filter="id >= 0", output_fields=["*"])
    client.close()
    return {row["id"]: dict(row) for row in found}


def test_search_there_is_exact_cosine_order(made: Index, server: str):
    assert made.export_milvus(server, "exact").exported == 250
    xq = rows(5, seed=1)
    client = pymilvus.MilvusClient(server)
    found = client.search("exact", xq.tolist(), limit=10, output_fields=["path"])
    client.close()
    with made.store.snapshot() as snapshot:
        ids = snapshot.live_ids()
        xb = snapshot.vectors(ids).astype(np.float64)
    cosines = xq.astype(np.float64) @ (xb / np.linalg.norm(xb, axis=1, keepdims=True)).T
    order = np.argsort(-cosines, axis=1)[:, :10]
    assert [[hit["id"] for hit in one] for one in found] == ids[order].tolist()
    np.testing.assert_allclose(
        [[hit["distance"] for hit in one] for one in found], np.take_along_axis(cosines, order, 1), atol=1e-5
    )


def test_rows_say_what_the_index_says(made: Index, server: str):
    made.export_milvus(server, "told", where="price < 2")
    told = everything(server, "told")
    assert len(told) == 8
    with made.store.snapshot() as snapshot:
        for id, row in told.items():
            record = snapshot.record(id)
            number = int(row["price"] * 4)
            expected = "file:///p/%FF.jpg" if number == 0 else f"/p/{number}.jpg"
            assert (row["path"], row["caption"]) == (expected, record.caption)
            assert row["path_"] == f"column {number}" and row.get("width", 0) == number
            assert row["taken"] == "2024-05-06T07:08:09"
            assert np.array_equal(np.array(row["vector"], np.float16), snapshot.rows(np.array([id]))[0])


def test_broken_off_and_typed_again_nothing_is_there_twice(made: Index, server: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(room, "BATCH_ROWS", 100)

    def stop(progress: vsearch.types.Progress) -> None:
        if progress.done >= 200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made.export_milvus(server, "again", progress=stop)
    assert len(everything(server, "again")) == 200
    told: list[vsearch.types.Progress] = []
    assert made.export_milvus(server, "again", progress=told.append).exported == 250
    assert [one.done for one in told] == [100, 200, 250] and len(everything(server, "again")) == 250


def test_changes_follow(made: Index, server: str):
    made.export_milvus(server, "follow")
    with made.store.snapshot() as snapshot:
        gone = snapshot.live_ids()[:150].tolist()
    made.remove(gone)
    (new,) = made.add_vectors(["/p/249.jpg"], rows(1, seed=9), {"caption": ["new"]}).tolist()
    report = made.export_milvus(server, "follow")
    assert (report.exported, report.removed) == (100, 151)
    told = everything(server, "follow")
    assert told[new]["caption"] == "new" and len(told) == 100 and not set(gone) & set(told)


def test_a_collection_of_others_is_left_alone(made: Index, server: str, tmp_path: Path):
    client = pymilvus.MilvusClient(server)
    client.create_collection("theirs", dimension=DIM)
    client.insert("theirs", [{"id": 1, "vector": rows(1)[0]}])
    client.close()
    made.export_milvus(server, "ours")
    with vsearch.create(tmp_path / "other.vsearch", encoder=f"external:m:{DIM}") as other:
        other.add_vectors(["x"], rows(1))
        for name in ("theirs", "ours"):
            with pytest.raises(ExportError, match="name another one with --collection"):
                other.export_milvus(server, name)
    assert len(everything(server, "theirs")) == 1 and len(everything(server, "ours")) == 250


def test_the_command_and_what_it_says_of_a_server_that_is_not_there(
    made: Index, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VSEARCH_INDEX", raising=False)
    assert main(["export", "--to", "milvus", server]) == 0
    assert capfd.readouterr().out == f"250 pictures of shop.vsearch → {server}, collection shop\n"
    assert main(["export", "--to", "milvus", f"{tmp_path}/no/such/folder.db"]) == 2
    assert "folder.db" in capfd.readouterr().err
    assert main(["export", "--to", "clip-retrieval", "out", "--collection", "x"]) == 2
    assert not os.path.exists("out")
