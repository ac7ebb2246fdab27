"""Shards joined into one index: the truth is the index that one process makes of all folders."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from drawn_pictures import drawn
from forked import environment, run
from test_cli import PROGRAM
from test_spaces import Turned

import vsearch
from vsearch import files
from vsearch.embed import load_encoder
from vsearch.errors import DiskFull, EncoderMismatch, IndexCorrupt, IndexExists, IndexNotFound, QueryError
from vsearch.store import Batch, joining
from vsearch.store.layout import Layout

FOLDERS = {"a": 9, "b": 7, "c": 5}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three folders with an index each (with captions, a broken file and a tag), and one index of all of them."""
    place = tmp_path_factory.mktemp("shards")
    seed = 0
    for name, count in FOLDERS.items():
        (place / name).mkdir()
        for number in range(count):
            drawn(seed := seed + 1, (64, 48)).save(place / name / f"{number}.png")
        (place / name / "0.txt").write_text(f"the first of {name}\n")
        (place / name / "broken.jpg").write_text("no picture")
    for name in FOLDERS:
        with vsearch.create(place / f"{name}.vsearch", encoder="toy") as index:
            index.add(vsearch.folder(place / name))
            index.store.commit(Batch(tags={1: ((f"tag of {name}", 0.5),)}))
    with vsearch.create(place / "all.vsearch", encoder="toy") as index:
        for name in FOLDERS:
            index.add(vsearch.folder(place / name))
    return place


def held(path: Path) -> dict[bytes, tuple]:
    """All that an index says of each path, with the vector's bits; without ids."""
    with vsearch.open(path) as index, index.store.snapshot() as snapshot:
        told = {}
        for id, r in snapshot.items():
            rest = (r.content, r.size, r.mtime_ns, r.width, r.height, r.caption, r.missing, snapshot.details(id))
            told[r.path] = (*rest, snapshot.rows(np.array([id])).tobytes())
        return told


def ids_of(path: Path) -> dict[bytes, int]:
    with vsearch.open(path) as index, index.store.snapshot() as snapshot:
        return {record.path: id for id, record in snapshot.items()}


def contents(root: Path) -> dict[str, str]:
    """Digest of every file but LMDB's table of readers."""
    found = (path for path in sorted(root.rglob("*")) if path.is_file() and path.name != "lock.mdb")
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def shards(place: Path) -> list[Path]:
    return [place / f"{name}.vsearch" for name in FOLDERS]


def test_the_merged_index_is_that_of_one_process(place, tmp_path):
    before = [contents(shard) for shard in shards(place)]
    report = vsearch.merge(tmp_path / "out.vsearch", shards(place))
    assert (report.images, report.repeated, report.failures, report.kept_ids) == (21, 0, 3, False)
    assert held(tmp_path / "out.vsearch") == held(place / "all.vsearch")
    assert [contents(shard) for shard in shards(place)] == before
    assert sorted(os.listdir(tmp_path)) == ["out.vsearch"]
    with vsearch.open(tmp_path / "out.vsearch") as merged, vsearch.open(place / "all.vsearch") as one:
        assert merged.errors() == one.errors()
        assert merged.check().problems == ()
        with merged.store.snapshot() as a, one.store.snapshot() as b:
            assert a.roots() == b.roots() and a.head.images == b.head.images
            assert sorted(tag for id in a.live_ids() for tag in a.tags(int(id))) == [
                (f"tag of {name}", 0.5) for name in FOLDERS
            ]
            kept = a.live_ids()
            rows = a.vectors(kept)
        xq = np.random.default_rng(1).normal(size=(5, rows.shape[1])).astype(np.float32)
        xq /= np.linalg.norm(xq, axis=1, keepdims=True)
        scores, ids = merged.search_vectors(xq, 6)
        exact = np.sort(xq.astype(np.float64) @ rows.T.astype(np.float64), axis=1)[:, ::-1][:, :6]
        np.testing.assert_allclose(scores, exact, atol=1e-6)
        paths = [[hit.path for hit in index.search("red and blue", k=21)] for index in (merged, one)]
        assert paths[0] == paths[1] and len(paths[0]) == 21
        assert [hit.path for hit in merged.search("red", k=21, where="folder = 'b'")] == [
            hit.path for hit in one.search("red", k=21, where="folder = 'b'")
        ]


def test_many_pieces_and_segments_are_as_good_as_one(place, tmp_path, monkeypatch):
    monkeypatch.setattr(joining, "PIECE_ROWS", 4)
    monkeypatch.setattr(joining, "MAX_ROWS", 8)
    vsearch.merge(tmp_path / "out.vsearch", shards(place))
    assert held(tmp_path / "out.vsearch") == held(place / "all.vsearch")
    with vsearch.open(tmp_path / "out.vsearch") as merged:
        assert merged.check().problems == ()
        with merged.store.snapshot() as snapshot:
            assert [segment.rows for segment in snapshot.space.segments] == [8, 8, 5]


def test_it_goes_on_like_any_index(place, tmp_path):
    vsearch.merge(tmp_path / "out.vsearch", shards(place))
    drawn(99, (64, 48)).save(tmp_path / "new.png")
    with vsearch.open(tmp_path / "out.vsearch", write=True) as merged:
        again = [merged.add(vsearch.folder(place / name)) for name in FOLDERS]
        assert [(r.added, r.unchanged, r.removed, r.known_failures) for r in again] == [
            (0, count, 0, 1) for count in FOLDERS.values()
        ]
        assert merged.add(vsearch.pictures([tmp_path / "new.png"])).added == 1
        assert merged.search(tmp_path / "new.png", k=1, include_query=True)[0].path == tmp_path / "new.png"
        merged.remove([3, 4])
        assert merged.compact() == 2 and merged.check().problems == ()


def test_ids_in_ranges_of_their_own_are_kept_with_their_gaps(place, tmp_path):
    shutil.copytree(place / "b.vsearch", tmp_path / "b.vsearch")
    with vsearch.open(tmp_path / "b.vsearch", write=True) as b:
        b.add(vsearch.folder(place / "a"))  # ids 7 to 15
        b.remove([*range(8), 11])
    expected = ids_of(place / "c.vsearch") | ids_of(tmp_path / "b.vsearch")  # c has ids 0 to 4
    report = vsearch.merge(tmp_path / "out.vsearch", [tmp_path / "b.vsearch", place / "c.vsearch"])
    assert report.kept_ids and report.images == 12
    assert ids_of(tmp_path / "out.vsearch") == expected
    want = held(place / "c.vsearch") | held(tmp_path / "b.vsearch")
    assert held(tmp_path / "out.vsearch") == want
    with vsearch.open(tmp_path / "out.vsearch", write=True) as merged:
        assert merged.check().problems == ()
        ids = merged.add_vectors(["fresh"], np.ones((1, merged.encoder_info.dim), np.float32))
        assert ids.tolist() == [16], "an id that was ever given is not given again"


def test_a_path_in_several_shards_counts_once_and_the_newest_wins(place, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(place / "a", photos)
    for name in ("old", "new"):
        with vsearch.create(tmp_path / f"{name}.vsearch", encoder="toy") as index:
            index.add(vsearch.folder(photos))
        drawn(77, (64, 48)).save(photos / "0.png")
        (photos / "1.png").unlink(missing_ok=True)
        shutil.copy(photos / "2.png", photos / "broken.jpg")  # what failed for the first can be read by the second
    with vsearch.open(tmp_path / "old.vsearch", write=True) as index:
        index.add(vsearch.folder(photos))  # 1.png is marked as missing, 0.png is read after the other's
    newest = held(tmp_path / "new.vsearch") | held(tmp_path / "old.vsearch")
    report = vsearch.merge(tmp_path / "out.vsearch", [tmp_path / "new.vsearch", tmp_path / "old.vsearch"])
    assert (report.images, report.repeated, report.failures) == (10, 9, 0)
    assert held(tmp_path / "out.vsearch") == newest
    with vsearch.open(tmp_path / "out.vsearch") as merged:
        assert merged.check().problems == () and len(merged) == 9, "the missing one is kept aside"


def test_one_that_is_there_goes_before_one_that_was_gone(place, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(place / "a", photos)
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(photos))
    with vsearch.create(tmp_path / "y.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(photos))
        (photos / "3.png").unlink()
        index.add(vsearch.folder(photos))
    vsearch.merge(tmp_path / "out.vsearch", [tmp_path / "x.vsearch", tmp_path / "y.vsearch"])
    with vsearch.open(tmp_path / "out.vsearch") as merged:
        assert len(merged) == 9


def test_a_picture_that_could_not_be_embedded_anew_stays_so(place, tmp_path):
    shutil.copytree(place / "c", tmp_path / "c")
    with vsearch.create(tmp_path / "c.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(tmp_path / "c"))
        (tmp_path / "c/2.png").unlink()
        index.change_encoder(Turned(), yes=True)
    with vsearch.create(tmp_path / "b.vsearch", encoder=Turned()) as index:
        index.add(vsearch.folder(place / "b"))
    report = vsearch.merge(tmp_path / "out.vsearch", [tmp_path / "b.vsearch", tmp_path / "c.vsearch"])
    assert report.images == 12 and len(report.warnings) == 1 and "does not answer" in report.warnings[0]
    with vsearch.open(tmp_path / "out.vsearch", encoder=Turned()) as merged:
        assert len(merged) == 11 and merged.check().problems == ()
        assert tmp_path / "c/2.png" not in [hit.path for hit in merged.search("red", k=12)]


# ---------------------------------------------------------------- refusals


def test_another_encoder_is_refused_and_both_are_named(place, tmp_path):
    other = tmp_path / "other.vsearch"
    vsearch.create(other, encoder=Turned()).close()
    with pytest.raises(EncoderMismatch) as told:
        vsearch.merge(tmp_path / "out.vsearch", [place / "a.vsearch", other])
    for word in (place / "a.vsearch", other, load_encoder("toy").info.digest[:12], Turned().info.digest[:12]):
        assert str(word) in str(told.value)
    assert os.listdir(tmp_path) == ["other.vsearch"]


@pytest.mark.parametrize(
    ("named", "error", "words"),
    [
        ([], QueryError, "name the indexes"),
        (["a.vsearch", "./x/../a.vsearch"], QueryError, "named twice"),
        (["a.vsearch", "nowhere.vsearch"], IndexNotFound, "no such index"),
    ],
)
def test_what_cannot_be_merged_is_said(place, tmp_path, named, error, words):
    with pytest.raises(error, match=words):
        vsearch.merge(tmp_path / "out.vsearch", [place / name for name in named])
    assert os.listdir(tmp_path) == []


def test_nothing_is_overwritten(place, tmp_path):
    (tmp_path / "out.vsearch").mkdir()
    (tmp_path / "out.vsearch/mine").write_text("kept")
    with pytest.raises(IndexExists):
        vsearch.merge(tmp_path / "out.vsearch", shards(place))
    assert os.listdir(tmp_path / "out.vsearch") == ["mine"]


def test_the_room_is_looked_at_before_anything_is_written(place, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "free_bytes", lambda _: 16 << 20)
    with pytest.raises(DiskFull, match="takes up to .* MB and the disk has 17 MB free"):
        vsearch.merge(tmp_path / "out.vsearch", shards(place))
    assert os.listdir(tmp_path) == []


def test_a_damaged_shard_is_not_carried_on(place, tmp_path):
    bad = tmp_path / "bad.vsearch"
    shutil.copytree(place / "a.vsearch", bad)
    with vsearch.open(bad) as index:
        rows = next(iter(Layout(bad).vectors(index.encoder_info.space).iterdir()))
    raw = bytearray(rows.read_bytes())
    raw[-5] ^= 1
    rows.write_bytes(raw)
    with pytest.raises(IndexCorrupt, match=f"{bad}.*damaged"):
        vsearch.merge(tmp_path / "out.vsearch", [place / "b.vsearch", bad])
    assert os.listdir(tmp_path) == ["bad.vsearch"]


# ---------------------------------------------------------------- stopped in the middle

KILLED_AT = """
import os, signal, sys
import vsearch
from vsearch import files
left = int(sys.argv[1])

def counted(name):
    real = getattr(files, name)
    def call(*given):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given)
    setattr(files, name, call)

for name in ("fsync", "fdatasync", "fsync_dir", "make_dir", "write_all"):
    counted(name)
vsearch.merge(sys.argv[2], sys.argv[3:])
print(left)
"""


def merging(place: Path, out: Path, calls: int) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", KILLED_AT, str(calls), out, *shards(place)]
    return subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=60)


def test_killed_at_any_point_there_is_no_half_index_and_the_next_run_clears_up(place, tmp_path):
    before = [contents(shard) for shard in shards(place)]
    whole = merging(place, tmp_path / "whole.vsearch", 10_000)
    assert whole.returncode == 0, whole.stderr
    calls = 10_000 - int(whole.stdout)
    out = tmp_path / "out.vsearch"
    for at in np.linspace(0, calls - 2, 5).astype(int).tolist():  # the last call makes the final name durable
        assert merging(place, out, at).returncode == -signal.SIGKILL
        assert not out.exists()
    assert vsearch.merge(out, shards(place)).images == 21
    assert sorted(os.listdir(tmp_path)) == ["out.vsearch", "whole.vsearch"]
    assert [contents(shard) for shard in shards(place)] == before
    assert held(out) == held(place / "all.vsearch")


# ---------------------------------------------------------------- the command


def test_the_command(place, tmp_path):
    names = [f"{name}.vsearch" for name in FOLDERS]
    for name in names:
        (tmp_path / name).symlink_to(place / name)
    assert run("merge", "out.vsearch", *names, cwd=tmp_path) == (
        0,
        "21 pictures, 3 failed of 3 indexes in T s, ids given anew → out.vsearch\n",
        "",
    )
    done = subprocess.run([*PROGRAM, "merge", "out.vsearch", *names], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "there is something already" in done.stderr
    code, out, _ = run("merge", "two.vsearch", *names[:2], "--json", cwd=tmp_path)
    assert code == 0 and {**json.loads(out), "seconds": 0} == {
        "shards": 2,
        "images": 16,
        "repeated": 0,
        "failures": 2,
        "kept_ids": False,
        "seconds": 0,
        "warnings": [],
        "index": "two.vsearch",
    }
