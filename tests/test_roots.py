"""Roots that are renamed, moved or gone, and the options that they keep; what is there is told by the file system."""

import os
import shutil
from pathlib import Path

import pytest
from drawn_pictures import drawn
from test_cli import run

import vsearch
from vsearch.embed.toy import Toy
from vsearch.errors import QueryError, SourceError
from vsearch.sources import chain, files
from vsearch.store import Batch
from vsearch.types import AddReport


class Counting(Toy):
    """The toy, which counts what it embeds."""

    embedded = 0

    def encode_images(self, pixels):
        self.embedded += len(pixels)
        return super().encode_images(pixels)


@pytest.fixture
def place(tmp_path) -> Path:
    """Four pictures in ``photos``, two of them in ``photos/trip``, and an index of them in which one has a tag."""
    (tmp_path / "photos/trip").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "trip/c.png", "trip/d.png")):
        drawn(number, (40, 30)).save(tmp_path / "photos" / name)
    with vsearch.create(tmp_path / "x.vsearch", Toy()) as index:
        index.add(vsearch.folder(tmp_path / "photos"), workers=1)
        index.store.commit(Batch(tags={0: (("kept", 1.0),)}))
    return tmp_path


def add(place: Path, *names: str, **options) -> tuple[AddReport, int]:
    encoder = Counting()
    with vsearch.open(place / "x.vsearch", write=True, encoder=encoder) as index:
        source = chain(*(vsearch.folder(place / name) for name in names))
        return index.add(source, workers=1, **options), encoder.embedded


def records(place: Path) -> dict[str, tuple[int, bool, tuple]]:
    """Path below the place → id, whether it is missing, tags."""
    with vsearch.open(place / "x.vsearch") as index, index.store.snapshot() as snapshot:
        inside = len(os.fsencode(place)) + 1
        return {r.path[inside:].decode(): (id, r.missing, snapshot.tags(id)) for id, r in snapshot.items()}


def pictures(place: Path, folder: str) -> set[str]:
    return {str(path.relative_to(place)) for path in (place / folder).rglob("*.png")}


def test_a_renamed_root_is_a_move_and_nothing_is_embedded_again(place):
    before = {os.path.basename(path): told for path, told in records(place).items()}
    (place / "photos").rename(place / "pictures")
    report, embedded = add(place, "pictures")
    assert (report.added, report.moved, embedded) == (0, 4, 0)
    after = records(place)
    assert after.keys() == pictures(place, "pictures")
    assert {os.path.basename(path): told for path, told in after.items()} == before


def test_a_folder_that_left_its_root_is_a_move(place):
    (place / "photos/trip").rename(place / "trip")
    report, embedded = add(place, "trip")
    assert (report.moved, embedded) == (2, 0)
    assert {path for path, (_, missing, _) in records(place).items() if not missing} == (
        pictures(place, "photos") | pictures(place, "trip")
    )


def test_what_was_marked_as_gone_is_found_again_elsewhere(place):
    (place / "photos/trip").rename(place / "trip")
    assert add(place, "photos")[0].removed == 2
    report, embedded = add(place, "trip")
    assert (report.moved, embedded) == (2, 0) and len(records(place)) == 4


def test_a_root_that_is_a_link_and_unlinked_is_a_move(place):
    (place / "link").symlink_to("photos")
    with vsearch.create(place / "y.vsearch", Toy()) as index:
        index.add(vsearch.folder(place / "link"), workers=1)
        (place / "link").unlink()
        report = index.add(vsearch.folder(place / "photos"), workers=1)
        assert (report.added, report.moved, len(index)) == (0, 4, 4)


def test_copies_are_no_moves_and_neither_is_a_disk_that_is_not_mounted(place):
    shutil.copytree(place / "photos", place / "copies")
    assert add(place, "copies")[0].added == 4
    shutil.rmtree(place / "copies")
    for path in (place / "photos/a.png", place / "photos/b.png"):
        path.unlink()
    shutil.rmtree(place / "photos/trip")
    before = records(place)
    for number in range(2):
        drawn(number, (40, 30)).save(place / f"{number}.png")
    (place / "other").mkdir()
    (place / "0.png").rename(place / "other/a.png")
    # photos is there and empty: a disk that is not mounted.  copies is gone: what lay there has moved.
    assert add(place, "other")[0].moved == 1
    moved = before.keys() - records(place).keys()
    assert moved == {"copies/a.png"}


def test_of_copies_the_one_that_is_there_is_shown(place):
    shutil.copytree(place / "photos", place / "copies")
    add(place, "copies")
    with vsearch.open(place / "x.vsearch") as index:
        for gone in ("photos", "copies"):
            (place / gone).rename(place / "away")
            hits = index.search("red", k=4)
            shown = [hit.raw_path for hit in hits]
            assert len(shown) == 4 and all(map(os.path.exists, shown))
            assert [len(hit.raw_copies) for hit in hits] == [1] * 4
            assert not any(os.path.exists(path) for hit in hits for path in hit.raw_copies)
            (place / "away").rename(place / gone)


def test_dups_neither_keep_nor_name_what_is_not_there(place):
    shutil.copytree(place / "photos", place / "copies")
    shutil.copytree(place / "photos", place / "thirds")
    add(place, "copies", "thirds")
    with vsearch.open(place / "x.vsearch") as index:
        for gone in ("photos", "copies", "thirds"):
            (place / gone).rename(place / "away")
            for near in (False, True):
                groups = index.duplicates(near=near, threshold=0.99).groups
                named = [[group.kept.path, *(other.path for other in group.others)] for group in groups]
                assert sorted(map(len, named)) == [2] * 4
                assert all(path.exists() for group in named for path in group)
            (place / "away").rename(place / gone)


def test_roots_are_listed_and_moved(place):
    place.joinpath("photos").rename(place / "pictures")
    (place / "pictures/trip/d.png").unlink()
    options = ("--index", "x.vsearch")
    _, out, _ = run("roots", *options, cwd=place)
    assert out.splitlines()[2].split() == ["HERE/photos", "4", "not", "there"]
    before = {path.removeprefix("photos/"): told for path, told in records(place).items()}
    code, out, _ = run("roots", *options, "move", "photos", "pictures", cwd=place)
    assert (code, out) == (0, "4 pictures moved from photos to pictures\n")
    assert {path.removeprefix("pictures/"): told for path, told in records(place).items()} == before
    _, out, _ = run("roots", *options, "--json", cwd=place)
    assert '"images":4,"missing":0,"there":true' in out.replace(" ", "") and "/pictures" in out
    report, embedded = add(place, "pictures")
    assert (report.unchanged, report.removed, embedded) == (3, 1, 0)


def test_a_root_moves_onto_what_was_indexed_there_already(place):
    shutil.copytree(place / "photos", place / "pictures")
    drawn(9, (40, 30)).save(place / "pictures/a.png")
    add(place, "pictures")
    ids = {path: id for path, (id, _, _) in records(place).items()}
    shutil.rmtree(place / "photos")
    with vsearch.open(place / "x.vsearch", write=True) as index:
        assert index.move_root(place / "photos", place / "pictures") == 3
        assert index.check().problems == ()
    kept = {path.replace("photos", "pictures"): id for path, id in ids.items() if path.startswith("photos")}
    kept["pictures/a.png"] = ids["pictures/a.png"]  # other bytes: what was read last
    assert {path: id for path, (id, _, _) in records(place).items()} == kept
    assert add(place, "pictures")[0].unchanged == 4


def test_a_root_moves_into_the_folder_around_it(place):
    (place / "photos/trip/trip").mkdir()
    shutil.copy(place / "photos/a.png", place / "photos/trip/trip/c.png")
    add(place, "photos")
    by_id = {id: path.replace("trip/", "", 1) for path, (id, _, _) in records(place).items()}
    with vsearch.open(place / "x.vsearch", write=True) as index:
        index.move_root(place / "photos/trip", place / "photos")
        assert index.check().problems == ()
    assert {id: path for path, (id, _, _) in records(place).items()} == by_id


def test_what_cannot_be_moved_is_said(place):
    with vsearch.open(place / "x.vsearch", write=True) as index:
        with pytest.raises(QueryError, match="lies inside"):
            index.move_root(place / "photos", place / "photos/trip")
        with pytest.raises(SourceError, match="there is no folder"):
            index.move_root(place / "photos", place / "nowhere")
        with pytest.raises(QueryError, match="vsearch roots"):
            index.move_root(place / "nowhere", place / "photos")


def test_prune_takes_a_known_root_that_is_gone(place):
    shutil.rmtree(place / "photos")
    told = run("index", "photos", "--index", "x.vsearch", cwd=place)
    assert told[0] == 0 and "nothing was removed" in told[2] and len(records(place)) == 4
    assert run("index", "photos", "--index", "x.vsearch", "--prune", cwd=place)[0] == 0 and len(records(place)) == 4
    assert run("index", "photos", "--index", "x.vsearch", "--prune", "--yes", cwd=place)[0] == 0
    assert records(place) == {}
    with vsearch.open(place / "x.vsearch") as index:
        assert index.roots() == []
    assert run("index", "nowhere", "--index", "x.vsearch", cwd=place)[0] == 2


@pytest.mark.parametrize("before", ["//", "///", "/./"])
def test_two_slashes_at_the_front_are_one(place, before):
    name = before + str(place / "photos").removeprefix("/")
    with vsearch.open(place / "x.vsearch", write=True) as index:
        report = index.add(vsearch.folder(name), workers=1)
        report_of_files = index.add(files([name + "/a.png"]), workers=1)
    assert (report.unchanged, report.added, report_of_files.unchanged) == (4, 0, 1)
