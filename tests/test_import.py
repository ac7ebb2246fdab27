"""``vsearch import``: vectors and their table from files, whole or broken."""

import json
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from forked import run
from pyarrow import parquet

from vsearch.errors import SourceError
from vsearch.sources import vectors as room

ROWS = np.random.default_rng(3).normal(size=(6, 8)).astype(np.float32)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    np.save(tmp_path / "clip.npy", ROWS)
    np.save(tmp_path / "query.npy", ROWS[4])
    return tmp_path


def found(here: Path, *more: str) -> list[dict]:
    code, out, err = run("query", "--vector", "query.npy", "--json", *more, cwd=here)
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


def test_without_a_table_rows_have_numbers(here: Path):
    assert run("import", "--vectors", "clip.npy", cwd=here) == (
        0,
        "6 vectors of clip.npy added → clip.vsearch\n",
        "vsearch: encoder external:clip:8: as asked for\n",
    )
    hits = found(here)
    assert hits[0]["uri"] == "clip.npy#4" and hits[0]["score"] == pytest.approx(1, abs=1e-3) and len(hits) == 6
    assert json.loads(run("info", "--json", cwd=here)[1])["encoder"] == "external:clip"
    code, _, err = run("query", "red", cwd=here)
    assert code == 2 and "--vector FILE.npy" in err


def test_with_a_table_uris_captions_and_sizes_come_back_and_a_second_import_replaces(here: Path):
    lines = ["url,caption,width,height"] + [f"https://e.org/{i}.jpg,number {i},{i + 1},9" for i in range(6)]
    (here / "meta.csv").write_text("\n".join(lines) + "\n")
    words = (
        "import",
        "--vectors",
        "clip.npy",
        "--meta",
        "meta.csv",
        "--name",
        "bought",
        "--index",
        "x.vsearch",
        "--json",
    )
    for _ in range(2):
        assert json.loads(run(*words, cwd=here)[1]) == {"added": 6, "images": 6, "index": "x.vsearch"}
    best = found(here)[0]
    told = {name: best[name] for name in ("uri", "caption", "width", "height")}
    assert told == {"uri": "https://e.org/4.jpg", "caption": "number 4", "width": 5, "height": 9}
    code, _, err = run("import", "--vectors", "clip.npy", "--name", "other", "--index", "x.vsearch", cwd=here)
    assert code == 2 and "external:bought" in err and "external:other" in err


def test_another_dimension_is_refused(here: Path):
    assert run("import", "--vectors", "clip.npy", "--index", "x.vsearch", cwd=here)[0] == 0
    np.save(here / "wide.npy", np.ones((2, 9), np.float32))
    code, out, err = run("import", "--vectors", "wide.npy", "--index", "x.vsearch", cwd=here)
    assert (code, out) == (2, "") and "vectors of 9 dimensions" in err
    code, _, err = run("query", "--vector", "wide.npy", cwd=here)
    assert code == 2 and "(2, 9)" in err


# ---------------------------------------------------------------- files


def jsonl(path: Path) -> Path:
    path.write_text("".join(json.dumps({"path": f"/p/{i}", "title": None, "more": [i]}) + "\n" for i in range(6)))
    return path


def test_json_lines_and_tsv(tmp_path: Path):
    told = room.read_meta(jsonl(tmp_path / "m.jsonl"), 6)
    assert told.uris == [f"/p/{i}" for i in range(6)]
    assert told.columns == {"caption": [None] * 6, "more": [[i] for i in range(6)]}
    (tmp_path / "m.tsv").write_text("\ufefftext\twidth\nx, y\t3\nz\t\n", encoding="utf-8")
    told = room.read_meta(tmp_path / "m.tsv", 2)
    assert told.uris == [] and told.columns == {"caption": ["x, y", "z"], "width": ["3", ""]}


def test_parquet(tmp_path: Path):
    table = pyarrow.table(
        {
            "url": ["a", "b"],
            "caption": ["x", None],
            "width": [1.0, float("nan")],
            "vector": [[1], [2]],
            "iso": [100, 200],
        }
    )
    parquet.write_table(table, tmp_path / "m.parquet")
    told = room.read_meta(tmp_path / "m.parquet", 2)
    assert told.uris == ["a", "b"]
    assert told.columns == {"caption": ["x", None], "width": [1.0, None], "iso": [100, 200]}
    (tmp_path / "bad.parquet").write_bytes((tmp_path / "m.parquet").read_bytes()[:-9])
    with pytest.raises(SourceError, match="Parquet"):
        room.read_meta(tmp_path / "bad.parquet", 2)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("m.csv", "url\na\n", "1 rows for 6 vectors"),
        ("m.csv", "", "0 rows for 6 vectors"),
        ("m.csv", "colour,shape\nred,round\n", "'colour', 'shape'"),
        ("m.jsonl", '{"url": "a"}\n{"url": \n', "line 2"),
        ("m.jsonl", "[1]\n", "line 1: is no JSON object"),
        ("m.jsonl", '{"url": "a"}\n' + "[" * 100_000, "line 2: is no JSON"),
        ("m.jsonl", '{"url": ' + "9" * 5000 + "}\n", "line 1: is no JSON"),
        ("m.txt", "a", "is no table"),
        ("none.csv", None, "No such file"),
    ],
)
def test_tables_that_do_not_fit_say_why(tmp_path: Path, name: str, text: str | None, told: str):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=told):
        room.read_meta(tmp_path / name, 6)


def test_only_whole_arrays_of_floats_are_read(tmp_path: Path):
    np.save(tmp_path / "a.npy", ROWS)
    assert isinstance(room.read_npy(tmp_path / "a.npy"), np.memmap)
    whole = (tmp_path / "a.npy").read_bytes()
    for name, raw in {"cut": whole[:-1], "head": whole[:20], "empty": b"", "text": b"no numbers"}.items():
        (tmp_path / f"{name}.npy").write_bytes(raw)
    np.save(tmp_path / "ints.npy", np.ones((2, 2), np.int64))
    np.save(tmp_path / "flat.npy", np.ones(4, np.float32))
    np.save(tmp_path / "objects.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "several.npz", a=ROWS)
    for path in sorted(tmp_path.iterdir()):
        if path.stem != "a":
            with pytest.raises(SourceError, match=path.stem):
                room.read_npy(path)
    with pytest.raises(SourceError, match="No such file"):
        room.read_npy(tmp_path / "none.npy")


def test_json_lines_in_latin_1_are_refused_with_their_row_or_column(here: Path):
    """JSON is UTF-8 by its definition; tables of text are read in any encoding."""
    lines = [f'{{"url": "https://e.org/{i}.jpg", "title": "x", "size": 1}}' for i in range(6)]
    words = ("import", "--vectors", "clip.npy", "--meta", "m.jsonl", "--index", "x.vsearch")
    (here / "m.jsonl").write_bytes("\n".join(lines).replace("size", "größe").encode("latin-1"))
    code, _, err = run(*words, cwd=here)
    assert code == 2 and r"the name of a column is 'gr\udcf6\udcdfe'" in err and not (here / "x.vsearch").exists()
    lines[4] = lines[4].replace("x", "Löwe")
    (here / "m.jsonl").write_bytes("\n".join(lines).encode("latin-1"))
    code, _, err = run(*words, cwd=here)
    assert code == 2 and "row 4 of the column 'caption' is no text that UTF-8 can hold" in err


def test_a_file_of_numbers_with_an_impossible_header_is_refused(tmp_path: Path):
    for shape in ("(" + "9" * 40 + ",)", "(-1, 4)", "(2", "x" * 50):
        head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
        (tmp_path / "v.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)
        with pytest.raises(SourceError):
            room.read_npy(tmp_path / "v.npy")
