"""Filters and pages on the command line: what is printed, where, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from forked import run
from PIL import ExifTags, Image

CANON = {ExifTags.Base.Make: "Canon", ExifTags.Base.Model: "Canon EOS R6"}
PHONE = {ExifTags.Base.Make: "Apple", ExifTags.Base.Model: "iPhone 12"}
COLUMNS = (
    "id, taken, added, folder, name, ext, width, height, size, camera, lens, iso, latitude, longitude, caption, tags, "
    "tag_confidences, utc_offset"
)


def save(path: Path, colour: str, size: tuple[int, int], top: dict[int, Any], taken: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif.update(top)
    if taken:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken
    Image.new("RGB", size, colour).save(path, exif=exif)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("filters")
    photos = here / "photos"
    save(photos / "trips/rome/forum.jpg", "red", (2400, 1600), CANON, "2024:05:17 10:20:30")
    save(photos / "trips/rome/tiber.jpg", "blue", (1200, 800), PHONE, "2024:05:18 19:02:11")
    save(photos / "trips/oslo.jpg", "white", (3000, 2000), CANON, "2023:12:24 16:00:00")
    save(photos / "home/cat.jpg", "black", (4000, 3000), CANON, "2024:08:01 08:00:00")
    save(photos / "scan.png", "yellow", (2000, 2000), {})
    assert run("index", "photos", "--encoder", "toy", cwd=here)[0] == 0
    return here


def test_the_filter_of_the_documentation(here: Path):
    where = "taken >= '2024-01-01' and folder like 'trips/%' and width >= 2000 and camera like 'Canon%'"
    assert run("query", "red", "--where", where, "--paths", cwd=here) == (0, "HERE/photos/trips/rome/forum.jpg\n", "")


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("camera is null", {"scan.png"}),
        ("folder = 'trips/rome/'", {"forum.jpg", "tiber.jpg"}),
        ("folder like 'trips/%' and not folder like '%rome/'", {"oslo.jpg"}),
        ("month(taken) = 5", {"forum.jpg", "tiber.jpg"}),
        ("ext = 'png' or camera = 'Apple iPhone 12'", {"scan.png", "tiber.jpg"}),
    ],
)
def test_columns_of_pictures(here: Path, where: str, names: set[str]):
    code, out, err = run("query", "red", "--where", where, "--json", cwd=here)
    assert (code, err) == (0, "")
    assert {Path(json.loads(line)["path"]).name for line in out.splitlines()} == names


def test_a_wrong_filter_is_told_with_the_place_and_the_columns(here: Path):
    assert run("query", "red", "--where", "width > 3 and camra like 'Canon%'", cwd=here) == (
        2,
        "",
        "vsearch: there is no column 'camra'; did you mean 'camera'?\n"
        "  width > 3 and camra like 'Canon%'\n"
        "                ^\n"
        f"columns: {COLUMNS}\n",
    )
    assert run("query", "red", "--where", "read_text('/etc/hostname') = ''", cwd=here) == (
        2,
        "",
        "vsearch: no function 'read_text' may be in a filter\n  read_text('/etc/hostname') = ''\n  ^\n",
    )


def test_a_filter_that_lets_nothing_through(here: Path):
    assert run("query", "red", "--where", "width > 9000", cwd=here) == (
        1,
        "",
        "vsearch: nothing found that the filter lets through among the 5 pictures of photos.vsearch\n",
    )


def test_pages(here: Path):
    whole = run("query", "red", "--paths", cwd=here)[1].splitlines()
    pages = [run("query", "red", "-k", "2", "--offset", str(at), "--paths", cwd=here) for at in (0, 2, 4)]
    assert [line for _, out, _ in pages for line in out.splitlines()] == whole
    code, out, err = run("query", "red", "-k", "2", "--offset", "2", "--csv", cwd=here)
    assert [line.split(",")[0] for line in out.splitlines()] == ["rank", "3", "4"]
    code, out, err = run("query", "red", "-k", "2", "--offset", "6", cwd=here)
    assert (code, out) == (1, "") and err.startswith("vsearch: nothing found among the 5 pictures")


def test_info_lists_the_columns(here: Path):
    assert f"columns   {COLUMNS}\n" in run("info", cwd=here)[1]
    told = json.loads(run("info", "--json", cwd=here)[1])
    assert ", ".join(told["columns"]) == COLUMNS and told["columns"]["taken"] == "TIMESTAMP"


def test_columns_of_an_imported_table(here: Path):
    import numpy as np

    np.save(here / "v.npy", np.eye(3, 8, dtype=np.float32))
    (here / "m.tsv").write_text("uri\tlicence\tstars\na.jpg\tCC0\t5\nb.jpg\tCC-BY\t4\nc.jpg\tCC0\t3\n")
    words = ("import", "--vectors", "v.npy", "--meta", "m.tsv", "--name", "m", "--index", "v.vsearch")
    assert run(*words, cwd=here)[0] == 0
    np.save(here / "q.npy", np.ones(8, np.float32))
    asked = ("query", "--vector", "q.npy", "--index", "v.vsearch", "--paths", "--where")
    assert run(*asked, "licence = 'CC0' and stars < 5", cwd=here) == (0, "c.jpg\n", "")
