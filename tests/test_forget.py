"""What leaves an index: by folder, id or condition, and with the row of a table."""

import os
from pathlib import Path

import pytest
from drawn_pictures import drawn
from test_cli import run

import vsearch
from vsearch.embed.toy import Toy
from vsearch.sources import chain, folder, table

NAMES = ["a.png", "b.png", "trip/c.png", "trip/d.png"]


@pytest.fixture
def place(tmp_path) -> Path:
    (tmp_path / "photos/trip").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        drawn(number, (40, 30)).save(tmp_path / "photos" / name)
    with vsearch.create(tmp_path / "x.vsearch", Toy()) as index:
        index.add(folder(tmp_path / "photos"), workers=1)
    return tmp_path


def kept(place: Path) -> list[str]:
    with vsearch.open(place / "x.vsearch") as index, index.store.snapshot() as snapshot:
        assert index.check().problems == ()
        return sorted(os.path.relpath(os.fsdecode(r.path), place / "photos") for _, r in snapshot.items())


def forget(place: Path, *words: str) -> tuple[int, str, str]:
    return run("forget", *words, "--index", "x.vsearch", cwd=place)


@pytest.mark.parametrize(
    "words,gone",
    [
        (["photos/trip"], ["trip/c.png", "trip/d.png"]),
        (["photos/a.png"], ["a.png"]),
        (["--ids", "0,3,0"], ["a.png", "trip/d.png"]),
        (["--where", "name like 'b%'"], ["b.png"]),
    ],
)
def test_what_is_named_is_forgotten_and_nothing_else(place, words, gone):
    assert forget(place, *words)[::2] == (
        2,
        f"vsearch: {len(gone)} of 4 pictures would be forgotten, more than a tenth: nothing was. If that is right, "
        "add --yes\n",
    )
    code, out, _ = forget(place, *words, "--dry-run")
    assert (code, out) == (0, f"{len(gone)} of 4 pictures would be forgotten\n") and kept(place) == NAMES
    assert forget(place, *words, "--yes")[:2] == (0, f"{len(gone)} of 4 pictures forgotten\n")
    assert kept(place) == [name for name in NAMES if name not in gone]
    assert all((place / "photos" / name).exists() for name in NAMES)


@pytest.mark.parametrize(
    "words,message",
    [
        ([], "Name what to forget"),
        (["photos", "--ids", "1"], "Name what to forget"),
        (["--ids", "7"], "no picture has the id 7"),
        (["--ids", "-1"], "no picture has the id -1"),
        (["--ids", str(2**70)], "no picture has the id"),
        (["--ids", "x"], "--ids takes numbers"),
        (["nowhere"], "no picture of the index lies below nowhere"),
        (["--where", "nosuch = 1"], "nosuch"),
    ],
)
def test_what_cannot_be_forgotten_is_said(place, words, message):
    code, _, said = forget(place, *words)
    assert code == 2 and message in said and "Traceback" not in said and kept(place) == NAMES


def test_a_root_and_its_failures_are_forgotten_with_it(place):
    (place / "photos/bad.png").write_bytes(b"no picture")
    with vsearch.open(place / "x.vsearch", write=True) as index:
        assert index.add(folder(place / "photos"), workers=1).failed == 1
        assert index.forget(place / "photos") == 4
        assert (len(index), index.errors(), index.roots()) == (0, [], [])


def test_pictures_are_removed_by_path_and_by_uri(place):
    with vsearch.open(place / "x.vsearch", write=True) as index:
        index.add_vectors(["SKU"], index.encoder.encode_texts(["red"]))
        assert index.remove(["SKU", place / "photos/a.png", os.fsencode(place / "photos/b.png"), "nowhere"]) == 3
        assert index.remove(str(place / "photos/trip/c.png")) == 1
        assert index.remove([3, 99, -1, 2**70]) == 1 and len(index) == 0


def write(place: Path, *rows: str) -> None:
    (place / "pairs.csv").write_text("filepath,title,price\n" + "".join(row + "\n" for row in rows))


def test_a_row_that_is_gone_leaves_like_a_file(place):
    loose = [place / f"{name}.png" for name in "xyz"]
    for number, path in enumerate(loose):
        drawn(10 + number, (40, 30)).save(path)

    def add(**options) -> tuple[int, int, int, int]:
        report = index.add(table(place / "pairs.csv"), workers=1, **options)
        return report.added, report.changed, report.unchanged, report.removed

    def shown() -> set[str]:
        with index.store.snapshot() as snapshot:
            paths = {os.fsdecode(record.path) for _, record in snapshot.items() if not record.missing}
        return {os.path.basename(path) for path in paths}

    rows = ["photos/a.png,one,1", "x.png,two,2", "y.png,three,3", "z.png,four,4"]
    with vsearch.open(place / "x.vsearch", write=True) as index:
        write(place, *rows)
        assert add() == (3, 1, 0, 0)
        assert add() == (0, 0, 4, 0)
        write(place, rows[0], "x.png,two,20", "y.png,3,3", rows[3])
        assert add() == (0, 2, 2, 0)
        write(place, "x.png,two,20", rows[3])  # a.png lies in a folder that is indexed
        assert add() == (0, 0, 2, 1)
        assert shown() == {"a.png", "b.png", "c.png", "d.png", "x.png", "z.png"}
        write(place, *rows[1:])
        assert add() == (0, 2, 1, 0) and "y.png" in shown()
        write(place, "x.png,two,2", 'z.png,"broken')
        assert add()[3] in (0, 1)
        write(place, rows[1], rows[3])
        add()
        assert add(prune=True, yes=True)[3] == 0 and len(index.all_ids()) == 6
        write(place)
        assert add() == (0, 0, 0, 0) and {"x.png", "z.png"} < shown()
        assert "none of the 3 pictures" in index.add(table(place / "pairs.csv")).warnings[0]
        assert index.check().problems == ()


def test_a_row_that_another_table_has_stays(place):
    for number, name in enumerate("xy"):
        drawn(10 + number, (40, 30)).save(place / f"{name}.png")
    write(place, "x.png,one,1", "y.png,two,2")
    (place / "other.csv").write_text("filepath,title\ny.png,two\n")
    both = [table(place / "pairs.csv"), table(place / "other.csv")]
    with vsearch.open(place / "x.vsearch", write=True) as index:
        index.add(chain(*both), workers=1)
        write(place, "x.png,one,1")
        assert index.add(both[0], workers=1).removed == 0
