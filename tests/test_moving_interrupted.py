"""Moving duplicates and moving them back, after errors, kills and full disks; and what early versions left behind.

tests/durability/test_moves.py stops both at every place where they can be stopped.
"""

import base64
import errno
import json
import os
import shutil
import subprocess
import sys

import pytest
from forked import run
from moved_pictures import apply, fail_with, files_of, nothing_to_do
from test_promises import tree

import vsearch
from vsearch import files, moving
from vsearch.cli import main
from vsearch.store.records import MISSING


def test_a_move_that_fails_leaves_the_file_and_no_empty_one(made, copied, tmp_path, monkeypatch):
    plan = made.duplicates(near=False)
    before = tree(copied)
    monkeypatch.setattr(files, "_renameat2", fail_with(errno.EIO))
    done, journal = made.move_duplicates(plan, tmp_path / "out")
    assert all(moved.to is None and "Input/output error" in moved.why for moved in done)
    assert tree(copied) == before, "not even a folder was touched"
    assert os.listdir(tmp_path / "out") == [journal.name]
    monkeypatch.undo()
    assert nothing_to_do(journal), "lines of moves that never were are passed over"


def test_a_move_after_which_the_disk_fails_is_reported_as_one(made, copied, tmp_path, monkeypatch):
    plan = made.duplicates(near=False)
    monkeypatch.setattr(files, "rename_new", lambda old, new: (os.rename(old, new), fail_with(errno.EIO)()))
    done, journal = made.move_duplicates(plan, tmp_path / "out")
    assert len(done) == 3 and all(os.path.exists(moved.to) and "may not keep it" in moved.why for moved in done)
    assert made.duplicates(near=False).groups == (), "they have left the results"
    undone = moving.undo(journal)
    assert len(undone.files) == 3
    assert all(os.path.exists(moved.to) and "may not keep it" in moved.why for moved in undone.files)


def test_the_program_says_what_the_disk_may_not_keep(made, copied, tmp_path, monkeypatch, capsys):
    made.close()
    monkeypatch.setattr(files, "rename_new", lambda old, new: (os.rename(old, new), fail_with(errno.EIO)()))
    words = ["dups", "--identical", "--index", str(made.path), "--apply", "--move-to", str(tmp_path / "out")]
    assert main(words) == 3
    told = capsys.readouterr()
    assert told.out == f"3 pictures moved to {tmp_path / 'out'}\n"
    moved = f"{copied / 'again.png'}: moved to {tmp_path / 'out' / 'again.png'}: the disk reported an error"
    assert moved in told.err and "vsearch dups --undo" in told.err


def test_a_file_that_goes_in_the_last_moment_is_not_called_moved(made, copied, tmp_path, monkeypatch):
    rename_new = files.rename_new
    monkeypatch.setattr(files, "rename_new", lambda old, new: (old.unlink(), rename_new(old, new)))
    done, _ = apply(made, tmp_path / "out")
    assert len(done) == 3 and all(moved.to is None and "No such file" in moved.why for moved in done)


def test_the_journal_names_a_move_before_it_is_made(made, copied, tmp_path, monkeypatch):
    seen = []
    rename_new = files.rename_new

    def spying(old, new):
        (journal,) = (tmp_path / "out").glob("*.jsonl")
        seen.append((len(journal.read_text().splitlines()), old.exists()))
        rename_new(old, new)

    plan = made.duplicates(near=False)
    monkeypatch.setattr(files, "rename_new", spying)
    made.move_duplicates(plan, tmp_path / "out")
    assert seen == [(1, True), (2, True), (3, True)]


def test_a_move_by_links_that_was_stopped_half_way_is_undone(made, copied, tmp_path):
    before = files_of(copied)
    _, journal = apply(made, tmp_path / "out")
    os.link(tmp_path / "out/again.png", copied / "again.png")
    assert len(moving.undo(journal).files) == 2, "that one was back"
    assert files_of(copied) == before and os.listdir(tmp_path / "out") == [journal.name]


def test_a_name_that_is_taken_in_the_last_moment_is_not_overwritten(made, copied, tmp_path, monkeypatch):
    before = files_of(copied)
    rename_new, rivals = files.rename_new, []

    def late(old, new):
        if new.parent.name == "out" and not rivals:
            new.write_text("mine")
            rivals.append(new)
        rename_new(old, new)

    monkeypatch.setattr(files, "rename_new", late)
    done, journal = apply(made, tmp_path / "out")
    assert len(done) == 3 and all(moved.to is not None for moved in done)
    assert rivals[0].read_text() == "mine"
    assert len(journal.read_text().splitlines()) == 4, "one line for a move that was not made"
    assert len(moving.undo(journal).files) == 3 and files_of(copied) == before and rivals[0].read_text() == "mine"


def test_a_torn_last_line_is_passed_over(made, copied, tmp_path):
    before = files_of(copied)
    _, journal = apply(made, tmp_path / "out")
    whole = journal.read_bytes()
    for length in range(1, len(whole.splitlines()[0]) + 1):
        journal.write_bytes(whole + whole[:length])
        undone = moving.undo(journal)
        assert undone.damaged == () and len(undone.files) == (3 if length == 1 else 0)
    assert files_of(copied) == before


def test_lines_damaged_in_the_middle_are_named_and_the_others_undone(made, copied, tmp_path):
    _, journal = apply(made, tmp_path / "out")
    lines = journal.read_bytes().splitlines(keepends=True)
    names = [json.loads(line)["to"] for line in lines]
    lost = names[1]
    journal.write_bytes(lines[0] + lines[1][:20] + b"\n" + b"[" * 100_000 + b"\n" + lines[2])
    undone = moving.undo(journal)
    assert undone.damaged == (2, 3) and len(undone.files) == 2
    assert os.path.exists(lost if isinstance(lost, str) else base64.b64decode(lost["base64"])), "it stays where it is"
    code, out, err = run("dups", "--undo", journal, cwd=tmp_path)
    assert (code, out) == (3, "0 pictures moved back\n")
    assert f"{journal.name}: line 2 is damaged" in err and f"{journal.name}: line 3 is damaged" in err
    code, out, _ = run("dups", "--undo", journal, "--json", cwd=tmp_path)
    assert (code, json.loads(out)) == (3, {"moved": 0, "damaged_lines": [2, 3]})


def test_paths_that_no_file_has_are_damage(made, copied, tmp_path):
    _, journal = apply(made, tmp_path / "out")
    for bad in ("", "a\0b", "\ud800"):
        with open(journal, "a") as file:
            file.write(json.dumps({"from": bad, "to": "/x"}) + "\n" + json.dumps({"from": "/x", "to": bad}) + "\n")
    assert moving.undo(journal).damaged == (4, 5, 6, 7, 8, 9)


@pytest.mark.parametrize("end", ["there", "back"])
def test_empty_files_that_early_versions_left_stop_nothing(made, copied, tmp_path, end):
    """They made an empty file to hold a name, and a kill left it: here for the picture that was moved last."""
    before = files_of(copied)
    done, journal = apply(made, tmp_path / "out")
    source, target = done[-1].path, done[-1].to
    if end == "there":
        os.rename(target, source)
        left = target
    else:
        left = os.path.join(bytes(tmp_path / "out"), os.path.basename(source) + b".empty")
    with open(source if end == "back" else target, "xb"):
        pass
    undone = moving.undo(journal)
    assert all(moved.to is not None for moved in undone.files) and len(undone.files) == (3 if end == "back" else 2)
    assert files_of(copied) == before
    assert sorted(os.listdir(bytes(tmp_path / "out"))) == sorted([os.fsencode(journal.name), os.path.basename(left)])
    assert os.path.getsize(left) == 0, "nothing is deleted"
    assert nothing_to_do(journal)


def test_an_empty_file_in_place_of_the_picture_is_not_moved_back(made, copied, tmp_path):
    done, journal = apply(made, tmp_path / "out")
    open(done[0].to, "w").close()
    (left,) = (moved for moved in moving.undo(journal).files if moved.to is None)
    assert left.why == "it is empty there" and not os.path.lexists(done[0].path)


def test_only_the_file_that_was_moved_is_moved_back(made, copied, tmp_path):
    """Another in its place stays; the same one comes back although it was edited, or copied to another inode."""
    done, journal = apply(made, tmp_path / "out")
    edited, copy, other = (os.fsdecode(moved.to) for moved in done)
    with open(edited, "ab") as file:
        file.write(b"more")
    shutil.copy(copy, copy + "~")
    os.replace(copy + "~", copy)
    with open(other + "~", "w") as file:
        file.write("another")
    os.replace(other + "~", other)
    undone = moving.undo(journal).files
    assert {os.fsdecode(moved.path) for moved in undone if moved.to is not None} == {edited, copy}
    (left,) = (moved for moved in undone if moved.to is None)
    assert left.why == "it is another file than the one that was moved there" and os.path.exists(other)
    assert moving.undo(journal).files == (left,)
    shutil.copy(copied / "red.png", done[2].path)
    assert nothing_to_do(journal), "somebody has put the picture back"


def test_journals_of_early_versions_are_undone(made, copied, tmp_path):
    before = files_of(copied)
    _, journal = apply(made, tmp_path / "out")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    journal.write_text("".join(json.dumps({"from": line["from"], "to": line["to"]}) + "\n" for line in lines))
    assert len(moving.undo(journal).files) == 3 and files_of(copied) == before


def test_what_is_no_file_any_more_stays(made, copied, tmp_path):
    done, journal = apply(made, tmp_path / "out")
    os.unlink(done[0].to)
    os.mkdir(done[0].to)
    (left,) = (moved for moved in moving.undo(journal).files if moved.to is None)
    assert left.why == "it is no regular file" and os.path.isdir(done[0].to)


def test_a_run_that_was_stopped_before_it_told_the_index_is_finished_by_the_next(made, copied, tmp_path):
    """The first run has moved one picture, and written a line for another that it had no time to move."""
    before = files_of(copied)
    (tmp_path / "out").mkdir()
    mover = moving.Mover(tmp_path / "out")
    (group,) = made.duplicates(near=False).groups
    first, second, third = group.others
    kept = moving.Expected(group.kept.raw_path, group.kept.content)
    assert mover.move(moving.Expected(first.raw_path, first.content), kept).to is not None
    unused = os.path.join(bytes(tmp_path / "out"), os.path.basename(third.raw_path))
    inode = os.lstat(second.raw_path).st_ino
    mover._journal.note(moving.journal.Move(second.raw_path, unused, inode, second.content))
    mover.__exit__()
    done, journal = made.move_duplicates(made.duplicates(near=False), tmp_path / "out")
    assert {moved.path for moved in done} == {second.raw_path, third.raw_path}
    targets = {moved.path: moved.to for moved in done}
    assert targets[second.raw_path] == unused, "what the first meant to do"
    assert targets[third.raw_path] not in (None, unused), "a name that undoing the first would find"
    with made.store.snapshot() as snapshot:
        assert all(snapshot.record(other.id).flags & MISSING for other in group.others)
    assert made.duplicates(near=False).groups == () and made.check().problems == ()
    assert {moved.to for moved in moving.undo(mover.journal).files} == {first.raw_path, second.raw_path}
    assert [moved.to for moved in moving.undo(journal).files] == [third.raw_path] and files_of(copied) == before


def test_after_undoing_the_same_names_are_used_again(made, copied, tmp_path):
    done, journal = apply(made, tmp_path / "out")
    moving.undo(journal)
    made.add(vsearch.folder(copied))
    assert {moved.to for moved in apply(made, tmp_path / "out")[0]} == {moved.to for moved in done}


def test_a_folder_that_was_renamed_can_be_used_again(made, copied, tmp_path):
    _, journal = apply(made, tmp_path / "out")
    moving.undo(journal)
    made.add(vsearch.folder(copied))
    (tmp_path / "out").rename(tmp_path / "moved")
    done, _ = apply(made, tmp_path / "moved")
    assert {os.path.dirname(moved.to) for moved in done} == {bytes(tmp_path / "moved")}


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from vsearch.cli import main
sys.exit(main(sys.argv[2:]))
"""


def typed(limit, *words, cwd):
    """The command in a process whose files cannot grow over so many bytes."""
    command = [sys.executable, "-B", "-c", LIMITED, str(limit), *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_a_full_disk_leaves_no_torn_line_and_says_how_to_undo(made, copied, tmp_path):
    before = files_of(copied)
    _, journal = apply(made, tmp_path / "out")
    moving.undo(journal)
    made.add(vsearch.folder(copied))
    made.close()
    line = len(journal.read_bytes().splitlines()[0])
    journal.unlink()
    ended = typed(line + line // 2, "dups", "--identical", "--apply", "--move-to", "out", cwd=tmp_path)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    (journal,) = (tmp_path / "out").glob("*.jsonl")
    assert journal.read_bytes().count(b"\n") == 1 and journal.read_bytes().endswith(b"\n")
    assert "disk is full" in ended.stderr and f"vsearch dups --undo {journal}" in ended.stderr
    assert run("dups", "--undo", journal, cwd=tmp_path)[:2] == (0, "1 pictures moved back\n")
    assert files_of(copied) == before
    ended = typed(0, "dups", "--identical", "--apply", "--move-to", "out", cwd=tmp_path)
    assert ended.returncode == 2 and files_of(copied) == before
