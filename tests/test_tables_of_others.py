"""Tables as other programs write them: any separator, any encoding, blank lines; wherever tables are read."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from forked import environment
from PIL import Image

import vsearch
from vsearch.evaluate.tables import read_rows
from vsearch.sources.vectors import read_meta
from vsearch.types import Item

CAPTIONS = ["Bär, grün; groß", "Käse | Brötchen", "Übergröße für Türen"]
PRICES = [10, 20, 30]
SEPARATORS = [",", ";", "\t", "|"]
ENCODINGS = ["utf-8", "utf-8-sig", "latin-1", "utf-16"]


def table(path: Path, separator: str, encoding: str, end: str) -> Path:
    """Three pictures, with quotes around every caption."""
    rows = [f'{n}.png{separator}"{caption}"{separator}{PRICES[n]}' for n, caption in enumerate(CAPTIONS)]
    lines = [f"filepath{separator}title{separator}price", *rows]
    path.write_bytes(("".join(f"{line}\n" for line in lines) + end).encode(encoding))
    return path


@pytest.mark.parametrize("end", ["", "\n", "  \r\n\r\n"], ids=["none", "blank", "white"])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("separator", SEPARATORS, ids=["comma", "semicolon", "tab", "bar"])
def test_any_separator_and_encoding_with_blank_lines(tmp_path: Path, separator: str, encoding: str, end: str):
    for n in range(3):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{n}.png")
    for name in ("m.csv", "m.tsv"):
        path = table(tmp_path / name, separator, encoding, end)
        meta = read_meta(path, 3)
        assert meta.uris == ["0.png", "1.png", "2.png"]
        assert meta.columns == {"caption": CAPTIONS, "price": PRICES}
        assert bool(meta.remarks) == (encoding in ("latin-1", "utf-16"))
        items = list(vsearch.table(path))
        assert [item.caption for item in items if isinstance(item, Item)] == CAPTIONS
        assert [item.columns for item in items if isinstance(item, Item)] == [{"price": price} for price in PRICES]
        rows = read_rows(path, "title", "price")
        assert [(row["filepath"], row["title"]) for row in rows] == [(f"{n}.png", CAPTIONS[n]) for n in range(3)]


def test_a_path_keeps_its_bytes_where_captions_are_read_as_latin_1(tmp_path: Path):
    (tmp_path / "m.csv").write_bytes("url;caption\nbär.png;Die Bären für Übergröße\n".encode("latin-1"))
    meta = read_meta(tmp_path / "m.csv", 1)
    assert meta.columns == {"caption": ["Die Bären für Übergröße"]}
    assert [uri.encode("utf-8", "surrogateescape") for uri in meta.uris] == ["bär.png".encode("latin-1")]


def test_a_separator_inside_quotes_of_the_header_does_not_count(tmp_path: Path):
    (tmp_path / "m.csv").write_text('uri;"a,b,c,d";price\nx;1;2\n')
    assert read_meta(tmp_path / "m.csv", 1).columns == {"a,b,c,d": [1], "price": [2]}


def test_a_row_of_empty_fields_is_a_row(tmp_path: Path):
    """Rows of the table belong to vectors by their order: only a line with nothing at all is none."""
    (tmp_path / "m.csv").write_text('caption\nx\n""\n\ny\n')
    assert read_meta(tmp_path / "m.csv", 3).columns == {"caption": ["x", "", "y"]}
    (tmp_path / "n.csv").write_text("caption,price\nx,1\n,\ny,2\n")
    assert read_meta(tmp_path / "n.csv", 3).columns == {"caption": ["x", "", "y"], "price": [1, None, 2]}


def test_import_with_semicolons_and_a_blank_last_line(tmp_path: Path):
    np.save(tmp_path / "v.npy", np.eye(3, dtype=np.float32))
    np.save(tmp_path / "one.npy", np.eye(3, dtype=np.float32)[0])
    table(tmp_path / "m.csv", ";", "latin-1", "\n")

    def run(*words: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "vsearch", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment())
        return done.returncode, done.stdout, done.stderr

    code, out, err = run("import", "--vectors", "v.npy", "--meta", "m.csv", "--index", "x.vsearch")
    assert (code, out) == (0, "3 vectors of v.npy added → x.vsearch\n")
    assert "m.csv: its texts were read as cp1252" in err
    words = ("--vector", "one.npy", "--index", "x.vsearch", "--where", "caption like 'Käse%' and price = 20")
    assert run("query", *words, "--paths") == (0, "1.png\n", "")
