"""The one command that touches picture folders: it moves only what is still what was indexed, and can be undone."""

import json
import os

import pytest
from forked import run
from moved_pictures import ODD, apply, files_of, nothing_to_do
from test_promises import tree

import vsearch
from vsearch import moving
from vsearch.errors import IndexNotWritable, QueryError, SourceError


def test_what_is_not_kept_is_moved_leaves_the_results_and_comes_back(made, copied, tmp_path):
    before = files_of(copied)
    done, journal = apply(made, tmp_path / "out")
    assert sorted(os.listdir(bytes(tmp_path / "out"))) == sorted(
        [b"again.png", b"red.png", ODD, os.fsencode(journal.name)]
    )
    assert (copied / "red.png").exists() and not (copied / "again.png").exists()
    assert all(moved.to is not None for moved in done) and len(done) == 3
    (hit,) = made.search("red", k=1)
    assert (hit.path, hit.copies) == (copied / "red.png", ())
    assert made.duplicates(near=False).groups == () and made.check().problems == ()
    undone = moving.undo(journal)
    assert len(undone.files) == 3 and all(moved.to is not None for moved in undone.files) and not undone.damaged
    assert files_of(copied) == before
    assert os.listdir(tmp_path / "out") == [journal.name]
    assert made.add(vsearch.folder(copied)).added == 0, "recognised as what was there"
    assert len(made.search("red", k=1)[0].copies) == 3


def test_nothing_is_overwritten_on_the_way_there(made, copied, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/red.png").write_text("mine")
    (tmp_path / "out/red-2.png").symlink_to(tmp_path / "nowhere")
    apply(made, tmp_path / "out", keep=f"folder:{copied / 'light'}")
    assert (tmp_path / "out/red.png").read_text() == "mine"
    assert (tmp_path / "out/red-2.png").is_symlink()
    assert (tmp_path / "out/red-3.png").read_bytes() == (copied / "light/red.png").read_bytes()


def test_nothing_is_overwritten_on_the_way_back(made, copied, tmp_path):
    _, journal = apply(made, tmp_path / "out")
    (copied / "again.png").write_text("new")
    told = {os.path.basename(moved.path): moved for moved in moving.undo(journal).files}
    assert told[b"again.png"].to is None and "File exists" in told[b"again.png"].why
    assert (copied / "again.png").read_text() == "new"
    assert (tmp_path / "out/again.png").exists(), "it stays where it is"
    assert (copied / "light/red.png").exists()
    assert moving.undo(journal).files == (told[b"again.png"],), "and is reported each time"
    (copied / "again.png").unlink()
    assert [moved.to for moved in moving.undo(journal).files] == [bytes(copied / "again.png")]


def test_undoing_twice_and_what_is_gone(made, copied, tmp_path):
    _, journal = apply(made, tmp_path / "out")
    moving.undo(journal)
    assert nothing_to_do(journal)
    (copied / "again.png").unlink()
    (moved,) = moving.undo(journal).files
    assert moved.to is None and "gone" in moved.why


@pytest.mark.parametrize("damage", ["source", "kept", "kept gone", "source is a link"])
def test_a_file_that_is_no_longer_what_was_indexed_stays(made, copied, tmp_path, damage):
    plan = made.duplicates(near=False)
    if damage == "source":
        (copied / "again.png").write_bytes((copied / "blue.png").read_bytes())
    elif damage == "kept":
        (copied / "red.png").write_text("something else")
    elif damage == "kept gone":
        (copied / "red.png").unlink()
    else:
        (copied / "again.png").rename(copied / "elsewhere.png")
        (copied / "again.png").symlink_to(copied / "elsewhere.png")
    before = tree(copied)
    done, _ = made.move_duplicates(plan, tmp_path / "out")
    told = {os.path.basename(moved.path): moved.why for moved in done if moved.to is None}
    if damage.startswith("kept"):
        assert len(told) == 3 and tree(copied) == before
    else:
        assert list(told) == [b"again.png"] and os.path.lexists(copied / "again.png")


@pytest.mark.parametrize("place", ["photos", "photos/light/out", "photos/out", "x.vsearch/out", "link/out"])
def test_a_folder_in_which_they_would_be_found_again_is_refused(made, copied, tmp_path, place):
    (tmp_path / "link").symlink_to(copied)
    before = tree(copied)
    with pytest.raises(QueryError, match="another folder|Name a folder outside"):
        apply(made, tmp_path / place)
    assert tree(copied) == before


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no second file system to move to")
def test_another_disk_is_refused(made, copied, tmp_path):
    if os.stat("/dev/shm").st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("no second file system to move to")
    before = tree(copied)
    with pytest.raises(QueryError, match="another disk"):
        apply(made, f"/dev/shm/vsearch-test-{os.getpid()}")
    assert tree(copied) == before and not os.path.exists(f"/dev/shm/vsearch-test-{os.getpid()}")


def test_an_index_open_for_reading_moves_nothing(made, copied, tmp_path):
    made.close()
    before = tree(copied)
    with vsearch.open(made.path) as reading, pytest.raises(IndexNotWritable):
        apply(reading, tmp_path / "out")
    assert tree(copied) == before and not (tmp_path / "out").exists()


WRONG = ["", "[]", '{"from": "a"}', "nonsense", '{"from": {"x": 1}, "to": "b"}', "1\n2", '{"from": "a", "to": "b"}']


@pytest.mark.parametrize("text", [*WRONG, *(f"{text}\n" for text in WRONG[:-1]), "\0" * 100])
def test_what_is_no_journal_is_refused_or_empty(tmp_path, text):
    (tmp_path / "j").write_text(text)
    if text:
        with pytest.raises(SourceError, match="no journal"):
            moving.undo(tmp_path / "j")
    else:
        assert nothing_to_do(tmp_path / "j")


def test_the_program_moves_and_moves_back(tmp_path, copied):
    assert run("index", "photos", "--encoder", "toy", cwd=tmp_path)[0] == 0
    before = files_of(copied)
    assert run("dups", "--identical", cwd=tmp_path)[0] == 0
    assert files_of(copied) == before
    words = ("dups", "--identical", "--apply", "--move-to", "out")
    code, out, err = run(*words, cwd=tmp_path)
    assert (code, out) == (0, "3 pictures moved to out\n")
    (journal,) = (tmp_path / "out").glob("vsearch-moved-*.jsonl")
    assert err.endswith(f"vsearch: to move them back: vsearch dups --undo HERE/out/{journal.name}\n")
    code, out, err = run("dups", "--undo", journal, cwd=tmp_path)
    assert (code, out) == (0, "3 pictures moved back\n")
    assert files_of(copied) == before
    run("index", "photos", cwd=tmp_path)
    (copied / "again.png").write_text("changed")
    code, out, err = run(*words, "--json", cwd=tmp_path)
    assert code == 3 and len(out.splitlines()) == 2 and "it has changed since it was indexed" in err
    assert all(set(told) >= {"uri", "path", "to"} for told in map(json.loads, out.splitlines()))
