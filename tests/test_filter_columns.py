"""Columns: made from LMDB, never stale, and made again only where something changed."""

from __future__ import annotations

from pathlib import Path

import lmdb
import numpy as np
import pytest

import vsearch
from vsearch.errors import SourceError
from vsearch.index import Index
from vsearch.store import BLOCK_IDS, Batch
from vsearch.store.environment import LATER
from vsearch.types import Details

DIM = 16


def vectors(count: int) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, DIM)).astype(np.float32)


def create(place: Path) -> Index:
    return vsearch.create(place, encoder=f"external:test:{DIM}")


def passing(index: Index, where: str) -> list[int]:
    _, ids = index.search_vectors(np.ones((1, DIM), np.float32), 100, where=where)
    return sorted(ids[ids >= 0].tolist())


def files(index: Index) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in index.store.layout.columns.iterdir()}


def test_what_is_committed_is_seen_at_once_by_the_writer_and_by_others(tmp_path: Path):
    with create(tmp_path / "i") as index, vsearch.open(tmp_path / "i") as other:
        index.add_vectors(["/a/x.jpg", "/b/y.jpg"], vectors(2), {"caption": ["one", "two"]})
        for reader in (index, other):
            assert passing(reader, "caption = 'two'") == [1]
        index.store.commit(Batch(tags={0: (("dog", 0.75),)}, details={1: Details(camera="Canon X", iso=200)}))
        for reader in (index, other):
            assert passing(reader, "has_tag('dog', 0.7)") == [0]
            assert passing(reader, "iso = 200 and camera = 'Canon X'") == [1]
        index.store.commit(Batch(tags={0: ()}))
        index.remove([1])
        for reader in (index, other):
            assert passing(reader, "has_tag('dog') or iso = 200") == []
            assert passing(reader, "tags = [] or true") == [0]


def test_only_changed_blocks_are_written_again(tmp_path: Path):
    with create(tmp_path / "i") as index:
        count = BLOCK_IDS + 10
        index.add_vectors([f"/p/{i}" for i in range(count)], vectors(count))
        first = files(index)
        assert len(first) == 2
        index.add_vectors(["/q"], vectors(1))
        second = files(index)
        assert len(second) == 2 and len(set(first.items()) & set(second.items())) == 1
        index.store.commit(Batch(tags={3: (("x", 1.0),)}))
        index.columns.refresh()
        third = files(index)
        assert len(third) == 2 and len(set(second.items()) & set(third.items())) == 1
        index.remove([5, count - 1])
        index.columns.refresh()
        assert files(index) == third
        assert passing(index, f"id in (3, 5, {count - 1}, {count})") == [3, count]


def test_damaged_column_files_are_not_believed(tmp_path: Path):
    with create(tmp_path / "i") as index:
        index.add_vectors(["/a", "/b"], vectors(2), {"rating": [1, 2]})
        (path,) = index.store.layout.columns.iterdir()
    data = path.read_bytes()
    for damaged in (b"", data[:10], data[:-1], data[:200] + b"\xff" + data[201:], data[: len(data) // 2]):
        path.write_bytes(damaged)
        with vsearch.open(tmp_path / "i") as index:
            assert passing(index, "rating = 2") == [1]
    path.unlink()
    with vsearch.open(tmp_path / "i") as index:
        assert passing(index, "rating = 2") == [1]


def test_a_backup_has_its_columns(tmp_path: Path):
    with create(tmp_path / "i") as index:
        index.add_vectors(["/a", "/b"], vectors(2), {"rating": [1, 2]})
        index.backup(tmp_path / "copy")
        with vsearch.open(tmp_path / "copy") as copy:
            assert set(files(copy)) == set(files(index))
            assert passing(copy, "rating = 2") == [1]


def test_an_index_from_before_these_tables_opens_and_is_brought_up_to_date_by_its_next_writer(tmp_path: Path):
    with create(tmp_path / "i") as index:
        index.add_vectors(["/a.jpg", "/b.png"], vectors(2))
    with lmdb.open(str(tmp_path / "i" / "meta"), lib_version=0, max_dbs=20) as env:
        for name in LATER:
            with env.begin(write=True) as txn:
                txn.drop(env.open_db(name, txn=txn))
    with vsearch.open(tmp_path / "i") as index:
        assert passing(index, "ext = 'png'") == [1]
        assert index.check().problems == ()
    with vsearch.open(tmp_path / "i", write=True) as index:
        index.store.commit(Batch(tags={0: (("dog", 1.0),)}))
        index.columns.refresh()
        assert passing(index, "has_tag('dog')") == [0]
        assert index.check().problems == ()
    with vsearch.open(tmp_path / "i") as index:
        assert passing(index, "has_tag('dog')") == [0]


def test_details_and_tags_go_with_their_picture_and_repair_mends_their_tables(tmp_path: Path):
    with create(tmp_path / "i") as index:
        index.add_vectors(["/a", "/b", "/c"], vectors(3), {"rating": [1, 2, 3]})
        index.store.commit(Batch(tags={i: (("t", 0.5),) for i in range(4)}))
        index.remove([0])
        with index.store.snapshot() as snapshot:
            counts = snapshot.entries()
        assert (counts[b"detail"], counts[b"tag"]) == (2, 2)
        assert index.check().problems == ()
        with index.store._env.write() as txn:
            key = (1).to_bytes(8, "big")
            raw = txn.get(key, db=index.store._env.tables[b"detail"])
            txn.put(key, bytes([raw[0] ^ 1]) + raw[1:], db=index.store._env.tables[b"detail"])
        assert any("the details of 1 pictures are damaged" in problem for problem in index.check().problems)
        index.repair()
        assert index.check().problems == ()
        assert passing(index, "rating = 3 and has_tag('t')") == [2] and passing(index, "rating is null") == [1]


def test_folders_are_told_from_the_outermost_folder_that_was_indexed(tmp_path: Path, photos: Path):
    with vsearch.create(tmp_path / "i", encoder="toy") as index:
        index.add(vsearch.folder(photos / "light"))
        assert {hit.path.name for hit in index.search("red", where="folder = ''")} == {"yellow.png", "white.png"}
        index.add(vsearch.folder(photos))
        assert {hit.path.name for hit in index.search("red", where="folder like 'light/%'")} == {
            "yellow.png",
            "white.png",
        }
        assert len(index.search("red", where="folder = ''")) == 4
        index.add(vsearch.folder(photos / "light"))
        assert len(index.search("red", where="folder = 'light/'")) == 2


def test_a_table_gives_columns_of_their_kinds_and_a_changed_table_changes_them(tmp_path: Path, photos: Path):
    table = tmp_path / "t.csv"
    rows = (
        "red.png,a,5,0.5,true,007,1999-01-02\ngreen.png,b,,7,false,008,\nblue.png,c,-3,1e3,true,009,2001-01-01T10:00\n"
    )
    table.write_text("filepath,title,stars,Weight,good,code,taken\n" + rows)
    with vsearch.create(photos / "i", encoder="toy") as index:
        table = table.rename(photos / "t.csv")
        index.add(vsearch.table(table))
        columns = index.columns.names()
        kinds = {name: columns[name] for name in ("stars", "weight", "good", "code")}
        assert kinds == {"stars": "BIGINT", "weight": "DOUBLE", "good": "BOOLEAN", "code": "VARCHAR"}

        def names(where: str) -> set[str]:
            return {hit.path.stem for hit in index.search("red", where=where)}

        assert names("stars is null") == {"green"} and names("good and weight > 1") == {"blue"}
        assert names("code = '008'") == {"green"} and names("year(taken) = 1999") == {"red"}
        assert names("taken = '2001-01-01 10:00'") == {"blue"}
        table.write_text("filepath,title,stars\n" + "red.png,a,1.5\ngreen.png,b,x\n")
        report = index.add(vsearch.table(table))
        assert report.changed == 2 and report.added == 0
        assert report.removed == 1  # a row that is gone from a table leaves like a file
        assert names("stars = 'x'") == {"green"} and names("stars = '-3'") == set()


def test_columns_of_different_kinds_become_the_widest_and_taken_names_get_an_underscore(tmp_path: Path):
    with create(tmp_path / "i") as index:
        count = BLOCK_IDS
        index.add_vectors([f"/p/{i}" for i in range(count)], vectors(count), {"x": [1] * count, "y": [2] * count})
        index.add_vectors(["/q", "/r"], vectors(2), {"x": [0.5, None], "y": ["z", None], "size": [9, 8]})
        names = index.columns.names()
        assert (names["x"], names["y"], names["size_"]) == ("DOUBLE", "VARCHAR", "BIGINT")
        assert passing(index, "x = 0.5 and y = 'z' and size_ = 9 and size is null") == [count]
        assert passing(index, "x is null") == [count + 1]


def test_vectors_with_another_number_of_values_are_refused(tmp_path: Path):
    with create(tmp_path / "i") as index, pytest.raises(SourceError, match="2 rating for 3 vectors"):
        index.add_vectors(["/a", "/b", "/c"], vectors(3), {"rating": [1, 2]})


def test_column_files_that_cannot_be_written_are_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with create(tmp_path / "i") as index:
        monkeypatch.setattr("vsearch.filters.blocks.write", full)
        index.add_vectors(["/a", "/b"], vectors(2), {"rating": [1, 2]})
        assert files(index) == {}
        assert passing(index, "rating = 2") == [1]
        monkeypatch.undo()
        index.columns.refresh()
        assert len(files(index)) == 1 and passing(index, "rating = 2") == [1]


def test_tags_of_labels_are_in_column_files(tmp_path: Path, photos: Path):
    with vsearch.create(tmp_path / "i", encoder="toy") as index:
        index.add(vsearch.folder(photos))
        before = set(files(index))
        index.tag(["red", "blue"], min_confidence=0.0, top=2)
        assert len(files(index)) == 1 and not before & set(files(index))
        assert len(index.search("red", where="has_tag('red')")) == 6
        index.clear_tags()
        assert index.search("red", where="has_tag('red')") == []


def test_numbers_that_no_column_holds_are_unknown():
    """A record of somebody else's index may hold anything that its bytes can."""
    from vsearch.filters.schema import batch
    from vsearch.store import Record
    from vsearch.types import Details

    record = Record(b"/a.jpg", b"c" * 16, 2**64 - 1, 0, 0, 2**63 - 1, 2**32 - 1, 3)
    rows = batch([(5, record, Details(taken=2**70, iso=2**31, offset=-(2**40)), ())], (b"/",)).to_pylist()
    told = {name: rows[0][name] for name in ("size", "taken", "iso", "utc_offset", "width")}
    assert told == {"size": None, "taken": None, "iso": None, "utc_offset": None, "width": 2**32 - 1}
