"""clip-retrieval's folders and img2dataset's tables: what comes in, what goes out, what is refused."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from forked import run
from PIL import Image
from pyarrow import parquet

import vsearch
from vsearch.cli import main
from vsearch.errors import DimensionMismatch, EncoderMismatch, IndexNotWritable, SourceError
from vsearch.export.clip_retrieval import to_clip_retrieval as write
from vsearch.ingest import ondisk
from vsearch.store.records import RACY

DIM = 12
LONG_AGO = 1_600_000_000


def rows(n: int, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(n, DIM))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def put(folder: Path, number: str, vectors: np.ndarray, columns: dict) -> None:
    """One part, written as clip-retrieval lays it out."""
    for name in ("img_emb", "metadata"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    np.save(folder / "img_emb" / f"img_emb_{number}.npy", vectors)
    parquet.write_table(pyarrow.table(columns), folder / "metadata" / f"metadata_{number}.parquet")


def pictures(folder: Path, names: list[str]) -> None:
    """Pictures of noise whose times lie well in the past."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        noise = np.random.default_rng(seed).integers(0, 255, (30, 40 + seed, 3), np.uint8)
        Image.fromarray(noise).save(folder / name)
        os.utime(folder / name, (LONG_AGO, LONG_AGO))


def everything(index: vsearch.Index) -> dict[bytes, tuple]:
    """Path → caption, size, columns and stored fp16 row of all that is there."""
    with index.store.snapshot() as snapshot:
        told = {}
        for id, record in snapshot.items():
            row = snapshot.rows(np.array([id]))[0].tobytes()
            known = (record.caption, record.width, record.height, snapshot.details(id), row)
            told[record.path] = known
        return told


def test_what_was_written_comes_back_the_same(tmp_path: Path):
    names = ["/pics/a b.jpg", b"/pics/\xff.jpg", "https://example.org/c.png", "/pics/d.jpg", "e#4"]
    meta = {
        "caption": ["one", None, "drei ü", "", "five"],
        "width": [10, None, 30, 0, 50],
        "height": [1, None, 3, 0, 5],
        "price": [1.5, None, 2.25, -3.0, 1e9],
        "stock": [1, 2, 2**40, None, -5],
        "sold": [True, False, None, None, True],
        "brand": ["x", None, "ü", "", "long " * 99],
        "taken": ["2024-05-06T07:08:09.5", None, None, "1999-01-01", None],
        "latitude": [48.25, None, None, None, -7.5],
        "camera": [None, "K-1", None, None, "K-1"],
    }
    with vsearch.create(tmp_path / "a.vsearch", encoder=f"external:m:{DIM}") as index:
        ids = index.add_vectors(names, 7 * rows(5), meta)
        report = index.export_clip_retrieval(tmp_path / "out")
        before = everything(index)
    assert report.exported == 5
    source = vsearch.clip_retrieval(tmp_path / "out")
    with vsearch.create(tmp_path / "b.vsearch", encoder=f"external:m:{DIM}") as again:
        assert again.add_embedded(source).added == len(source) == 5
        assert everything(again) == before
    stored = np.load(tmp_path / "out" / "img_emb" / "img_emb_0.npy")
    assert stored.dtype == np.float16 and (stored == rows(5).astype(np.float16)).mean() > 0.95
    np.testing.assert_allclose(stored, rows(5), atol=1e-3)
    table = parquet.read_table(tmp_path / "out" / "metadata" / "metadata_0.parquet").to_pydict()
    assert table["image_path"][0] == "/pics/a b.jpg" and table["caption"][2] == "drei ü"
    assert table["stock"] == [1, 2, 2**40, None, -5] and table["price"][2] == 2.25
    assert sorted(ids.tolist()) == ids.tolist()  # rows are in the order of ids


def test_parts_carry_numbers_of_one_width_and_a_filter_chooses(tmp_path: Path):
    with vsearch.create(tmp_path / "a.vsearch", encoder=f"external:m:{DIM}") as index:
        index.add_vectors([f"/p/{i}.jpg" for i in range(23)], rows(23), {"number": list(range(23))})
        write(index.store, index.columns, tmp_path / "out", rows=2)
        assert index.export_clip_retrieval(tmp_path / "few", where="number between 5 and 8").exported == 4
        assert index.export_clip_retrieval(tmp_path / "none", where="number > 99").exported == 0
    parts = sorted(path.name for path in (tmp_path / "out" / "img_emb").iterdir())
    assert parts == [f"img_emb_{n:02}.npy" for n in range(12)]
    source = vsearch.clip_retrieval(tmp_path / "out")
    told = [(str(uri), row) for part in source for uri, row in zip(part.uris, part.rows, strict=True)]
    assert [uri for uri, _ in told] == [f"/p/{i}.jpg" for i in range(23)]
    np.testing.assert_allclose(np.array([row for _, row in told]), rows(23), atol=1e-3)
    few = parquet.read_table(tmp_path / "few" / "metadata" / "metadata_0.parquet").to_pydict()
    assert few["image_path"] == [f"/p/{i}.jpg" for i in range(5, 9)] and few["number"] == [5, 6, 7, 8]


def test_an_export_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with vsearch.create(tmp_path / "a.vsearch", encoder=f"external:m:{DIM}") as index:
        index.add_vectors(["/p/1.jpg"], rows(1))

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as faulty:
            faulty.setattr("vsearch.files.fsync", full)
            with pytest.raises(IndexNotWritable, match="full"):
                index.export_clip_retrieval(tmp_path / "out")
        assert sorted(os.listdir(tmp_path)) == ["a.vsearch"]
        index.export_clip_retrieval(tmp_path / "out")
        with pytest.raises(SourceError, match="is there already"):
            index.export_clip_retrieval(tmp_path / "out")


def test_as_pandas_writes_it(tmp_path: Path):
    """Numbers with gaps are floats with NaN there, the keys of tars stand for paths, other columns stay."""
    columns = {"image_path": ["000000003", "000000012"], "caption": ["a", None], "url": ["https://e.org/3", None]}
    columns |= {"similarity": [0.25, float("nan")], "original_width": [640.0, float("nan")], "extra.deep": ["x", "y"]}
    columns |= {"__index_level_0__": [7, 8]}
    put(tmp_path / "out", "0", rows(2).astype(np.float16), columns)
    put(tmp_path / "out", "1", rows(2, seed=1), {"image_path": ["rel/x.jpg", None], "caption": ["c", "d"]})
    (tmp_path / "data" / "00000").mkdir(parents=True)
    pictures(tmp_path / "data" / "00000", ["000000003.jpg"])
    pictures(tmp_path / "data" / "rel", ["x.jpg"])
    with vsearch.create(tmp_path / "a.vsearch", encoder=f"external:m:{DIM}") as index:
        index.add_embedded(vsearch.clip_retrieval(tmp_path / "out", pictures=tmp_path / "data"))
        told = everything(index)
        found = {name.decode(): (known[0], known[3].columns) for name, known in told.items()}
    base = str(tmp_path / "data")
    first = {"url": "https://e.org/3", "similarity": 0.25, "original_width": 640.0, "extra.deep": "x"}
    assert found == {
        f"{base}/00000/000000003.jpg": ("a", first),
        "000000012": (None, {"extra.deep": "y"}),
        f"{base}/rel/x.jpg": ("c", {}),
        "img_emb_1.npy#1": ("d", {}),
    }


def test_keys_are_found_in_tars(tmp_path: Path):
    put(tmp_path / "out", "0", rows(2), {"image_path": ["000010003", "000020003"], "caption": ["a", "b"]})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "00001.tar").touch()
    (part,) = vsearch.clip_retrieval(tmp_path / "out", pictures=tmp_path / "data")
    assert [str(uri) for uri in part.uris] == [f"{tmp_path}/data/00001.tar#000010003.jpg", "000020003"]


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda out: shutil.rmtree(out / "img_emb"), "holds no img_emb"),
        (lambda out: (out / "metadata" / "metadata_1.parquet").unlink(), "metadata_1.parquet beside it"),
        (lambda out: put(out, "1", rows(3), {"image_path": ["x"]}), "1 rows for the 3 vectors"),
        (lambda out: put(out, "2", np.ones((1, 3), "f4"), {"image_path": ["x"]}), "3 and 12 dimensions"),
        (lambda out: (out / "img_emb" / "img_emb_0.npy").write_bytes(b"\x93NUMPY"), "is no whole .npy"),
        (lambda out: (out / "metadata" / "metadata_0.parquet").write_bytes(b"PAR1"), "is no whole Parquet"),
    ],
)
def test_a_broken_folder_is_refused_before_anything_is_stored(tmp_path: Path, harm, message: str):
    out = tmp_path / "out"
    put(out, "0", rows(2), {"image_path": ["a", "b"]})
    put(out, "1", rows(2), {"image_path": ["c", "d"]})
    harm(out)
    with pytest.raises(SourceError, match=message):
        vsearch.clip_retrieval(out)


# ---------------------------------------------------------------- with the encoder that made them


@pytest.fixture
def embedded(tmp_path: Path) -> Path:
    """Twelve pictures in ``photos``, and ``out``: what another program made of them with the toy encoder."""
    pictures(tmp_path / "photos", [f"{n:02}.png" for n in range(12)])
    with vsearch.create(tmp_path / "made.vsearch", encoder="toy") as index:
        assert index.add(vsearch.folder(tmp_path / "photos")).added == 12
        index.export_clip_retrieval(tmp_path / "out")
    return tmp_path


def test_the_same_encoder_is_recognised_and_nothing_is_embedded_again(embedded: Path):
    with vsearch.create(embedded / "b.vsearch", encoder="toy") as index:
        report = index.add_embedded(vsearch.clip_retrieval(embedded / "out"))
        assert (report.added, report.compared) == (12, 12) and report.lowest > 0.999
        again = index.add(vsearch.folder(embedded / "photos"))
        with index.store.snapshot() as snapshot:
            racy = sum(bool(record.flags & RACY) for _, record in snapshot.items())
        # ctime cannot be set: what was written within two seconds is read again, which finds the same bytes
        assert (again.added, again.unchanged) == (0, 12) and racy in (0, 12)
        assert index.search(embedded / "photos" / "03.png", 1, include_query=True)[0].path.name == "03.png"


def test_another_model_is_refused(embedded: Path):
    wrong = np.random.default_rng(0).normal(size=(12, 64)).astype(np.float32)
    np.save(embedded / "out" / "img_emb" / "img_emb_0.npy", wrong)
    with vsearch.create(embedded / "b.vsearch", encoder="toy") as index:
        with pytest.raises(EncoderMismatch, match="of 12 pictures that are there, 12 differ"):
            index.add_embedded(vsearch.clip_retrieval(embedded / "out"))
        assert len(index) == 0
    with vsearch.create(embedded / "c.vsearch", encoder=f"external:m:{DIM}") as index:
        with pytest.raises(DimensionMismatch, match="64 dimensions"):
            index.add_embedded(vsearch.clip_retrieval(embedded / "out"))


def test_one_edited_picture_in_twelve_is_no_other_model(embedded: Path):
    pictures(embedded / "photos", ["00.png"])
    Image.new("RGB", (60, 60), "red").save(embedded / "photos" / "00.png")
    with vsearch.create(embedded / "b.vsearch", encoder="toy") as index:
        report = index.add_embedded(vsearch.clip_retrieval(embedded / "out"))
    assert report.compared == 12 and report.lowest < ondisk.LEAST_COSINE


def test_turned_pictures_are_embedded_upright_by_the_next_index(embedded: Path):
    """Others embed them lying on their side, so they are neither compared nor taken for done."""
    turned = Image.open(embedded / "photos" / "05.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(embedded / "photos" / "05.png", exif=exif)
    with vsearch.create(embedded / "b.vsearch", encoder="toy") as index:
        assert index.add_embedded(vsearch.clip_retrieval(embedded / "out")).compared == 11
        report = index.add(vsearch.folder(embedded / "photos"))
        assert (report.added, report.unchanged) == (1, 11)


def test_the_commands(embedded: Path):
    words = ("import", "--from", "clip-retrieval", "out", "--encoder", "toy", "--index", "b.vsearch")
    code, out, err = run(*words, cwd=embedded)
    assert (code, out) == (0, "12 vectors of out added → b.vsearch\n")
    assert "12 pictures embedded anew and compared: lowest cosine 1.0000" in err
    code, out, err = run("export", "--to", "clip-retrieval", "again", "--index", "b.vsearch", cwd=embedded)
    assert (code, out, err) == (0, "12 pictures of b.vsearch → again\n", "")
    for part in ("img_emb/img_emb_0.npy", "metadata/metadata_0.parquet"):
        assert (embedded / "out" / part).read_bytes() == (embedded / "again" / part).read_bytes()


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("x",),
        ("--vectors", "v.npy", "--from", "clip-retrieval", "x"),
        ("--from", "clip-retrieval", "x", "--meta", "m.csv"),
    ],
)
def test_usage_says_what_goes_together(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    assert main(["import", *words]) == 2 and "--from" in capsys.readouterr().err


def test_without_an_encoder_the_folder_names_the_model(
    embedded: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(embedded)
    monkeypatch.delenv("VSEARCH_INDEX", raising=False)
    assert main(["import", "--from", "clip-retrieval", "out", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"added": 12, "images": 12, "index": "out.vsearch"}
    with vsearch.open("out.vsearch") as index:
        assert index.encoder_info.name == "external:out"


def test_refused_vectors_leave_no_index_behind(embedded: Path, capsys: pytest.CaptureFixture[str]):
    """Else the same command with the right encoder would meet the wrong one."""
    put(embedded / "out", "0", rows(12), {"image_path": [f"{n}" for n in range(12)]})
    words = ["import", "--from", "clip-retrieval", str(embedded / "out"), "--index", str(embedded / "b.vsearch")]
    assert main([*words, "--encoder", "toy"]) == 2 and "12 dimensions" in capsys.readouterr().err
    assert not (embedded / "b.vsearch").exists()
    assert main(words) == 0 and (embedded / "b.vsearch").exists()
    assert main([*words, "--encoder", "toy"]) == 2 and (embedded / "b.vsearch").exists()


def test_a_bad_row_of_the_last_part_leaves_nothing_of_the_first(tmp_path: Path):
    put(tmp_path / "out", "0", rows(2), {"image_path": ["a", "b"], "width": [1, 2]})
    put(tmp_path / "out", "1", rows(2), {"image_path": ["c", "d"], "width": [3, -4]})
    with vsearch.create(tmp_path / "x.vsearch", encoder=f"external:m:{DIM}") as index:
        with pytest.raises(SourceError, match="row 1 has a width or height of -4"):
            index.add_embedded(vsearch.clip_retrieval(tmp_path / "out"))
        assert len(index) == 0


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda last: overwrite(last / "metadata" / "metadata_2.parquet", 60), "metadata_2.parquet"),
        (
            lambda last: put(last, "2", rows(2) * [[1], [np.nan]], {"image_path": ["e", "f"]}),
            "img_emb_2.npy: the vector of row 1 is not finite",
        ),
        (
            lambda last: put(last, "2", rows(2) * [[0], [1]], {"image_path": ["e", "f"]}),
            "img_emb_2.npy: the vector of row 0 is zero",
        ),
    ],
    ids=["damaged pages", "not a number", "zero"],
)
def test_a_last_part_that_is_bad_inside_refuses_the_whole_folder(tmp_path: Path, harm, message: str):
    """Sizes and layout are right, so that only reading it all tells; by then the other parts might be stored."""
    out = tmp_path / "out"
    for number in range(3):
        put(out, str(number), rows(2, number), {"image_path": [f"{number}a", f"{number}b"]})
    source = vsearch.clip_retrieval(out)
    harm(out)
    with vsearch.create(tmp_path / "x.vsearch", encoder=f"external:m:{DIM}") as index:
        with pytest.raises((SourceError, DimensionMismatch), match=message):
            index.add_embedded(source)
        assert len(index) == 0 and everything(index) == {}
        put(out, "2", rows(2, 2), {"image_path": ["2a", "2b"]})
        assert index.add_embedded(vsearch.clip_retrieval(out)).added == 6


def test_a_part_that_goes_bad_while_parts_are_stored_is_told_and_the_next_import_completes(tmp_path: Path):
    """The parts before it stay, each whole; importing again replaces them and adds the rest."""
    out = tmp_path / "out"
    for number in range(3):
        put(out, str(number), rows(2, number), {"image_path": [f"{number}a", f"{number}b"]})
    table = out / "metadata" / "metadata_2.parquet"
    with vsearch.create(tmp_path / "x.vsearch", encoder=f"external:m:{DIM}") as index:
        with pytest.raises(SourceError, match="metadata_2.parquet"):
            index.add_embedded(vsearch.clip_retrieval(out), progress=lambda told: overwrite(table, 60))
        assert [os.path.basename(path) for path in everything(index)] == [b"0a", b"0b", b"1a", b"1b"]
        put(out, "2", rows(2, 2), {"image_path": ["2a", "2b"]})
        assert index.add_embedded(vsearch.clip_retrieval(out)).added == 6
        assert len(index) == 6


def overwrite(path: Path, count: int) -> None:
    """Damage the pages of a Parquet file, which lie before its footer."""
    with open(path, "r+b") as file:
        file.seek(4)
        file.write(b"\xff" * count)


def test_times_and_texts_that_python_has_no_value_for_come_in(tmp_path: Path):
    texts = pyarrow.array([b"x\xff", b"y"], pyarrow.binary()).view(pyarrow.string())
    when = pyarrow.array([1, 2**62], pyarrow.timestamp("us"))
    put(tmp_path / "out", "0", rows(2), {"image_path": ["a", "b"], "caption": texts, "seen": when})
    with vsearch.create(tmp_path / "x.vsearch", encoder=f"external:m:{DIM}") as index:
        assert index.add_embedded(vsearch.clip_retrieval(tmp_path / "out")).added == 2
        told = {path: (known[0], known[3].columns["seen"]) for path, known in everything(index).items()}
    assert told[b"a"] == ("x\ufffd", "1970-01-01T00:00:00.000001") and told[b"b"][0] == "y"
    assert str(2**62) in told[b"b"][1]


# ---------------------------------------------------------------- img2dataset


def test_a_folder_of_img2dataset_has_captions_and_columns(tmp_path: Path):
    pictures(tmp_path / "laion" / "00000", ["000000000.jpg", "000000002.jpg"])
    pictures(tmp_path / "laion" / "00001", ["000010000.jpg"])
    (tmp_path / "laion" / "00000" / "000000000.txt").write_text("beside the picture")
    (tmp_path / "laion" / "00001" / "000010000.json").write_text('{"key": "000010000", "url": "u4", "punsafe": 0.5}')
    table = {"key": ["000000000", "000000001", "000000002"], "status": ["success", "failed_to_download", "success"]}
    table |= {
        "caption": ["in the table", "gone", "in the table"],
        "url": ["u0", "u1", "u2"],
        "error_message": [None] * 3,
    }
    table |= {"width": [40, None, 41], "original_width": [400, None, 410], "exif": ["{}", None, "{}"]}
    parquet.write_table(pyarrow.table(table), tmp_path / "laion" / "00000.parquet")
    from vsearch.sources import source_for

    with vsearch.create(tmp_path / "a.vsearch", encoder="toy") as index:
        assert index.add(source_for(tmp_path / "laion")).added == 3
        told = {Path(os.fsdecode(p)).name: (k[0], k[1], k[3].columns) for p, k in everything(index).items()}
        assert index.add(vsearch.img2dataset(tmp_path / "laion")).unchanged == 3
        assert [hit.path.name for hit in index.search("red", where="original_width = 410")] == ["000000002.jpg"]
    assert told == {
        "000000000.jpg": ("beside the picture", 40, {"url": "u0", "original_width": 400}),
        "000000002.jpg": ("in the table", 41, {"url": "u2", "original_width": 410}),
        "000010000.jpg": (None, 40, {"url": "u4", "punsafe": 0.5}),
    }


def test_a_broken_table_of_img2dataset_is_named(tmp_path: Path):
    pictures(tmp_path / "laion" / "00000", ["000000000.jpg"])
    (tmp_path / "laion" / "00000.parquet").write_bytes(b"PAR1 no more")
    table, picture = vsearch.img2dataset(tmp_path / "laion")
    assert table.path == os.fsencode(tmp_path / "laion/00000.parquet") and "no whole Parquet file" in table.reason
    assert os.path.basename(picture.path) == b"000000000.jpg"
