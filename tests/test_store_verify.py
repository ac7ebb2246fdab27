"""Whether metadata are walked before LMDB touches them: by what is locked and unchanged, not by what a file says."""

import os
import shutil
import subprocess
import sys

import pytest

import vsearch
from vsearch import files
from vsearch.store import verify
from vsearch.store.verify import Walk, clean_note

OPEN = """
import sys, vsearch
try:
    with vsearch.open(sys.argv[1]) as index:
        print(len(list(index.items())))
except vsearch.VsearchError as error:
    print(type(error).__name__)
"""


@pytest.fixture
def made(tmp_path, monkeypatch):
    """An index; of its metadata no size counts as small."""
    monkeypatch.setenv("VSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(verify, "SMALL_METADATA", 0)
    place = tmp_path / "x.vsearch"
    with vsearch.create(place, encoder="toy") as index:
        index.add_vectors([f"v{n}".encode() for n in range(300)], index.encoder.encode_texts(["red"] * 300))
    return place


def walk_by_reader(place):
    return Walk(place, None)


@pytest.mark.parametrize("process", [os.getpid, lambda: 1], ids=["this one", "init"])
def test_a_lock_that_names_a_living_process_keeps_nobody_from_verifying(made, process):
    data = made / "meta" / "data.mdb"
    raw = bytearray(data.read_bytes())
    raw[2 * 4096 :] = b"\xff" * (len(raw) - 2 * 4096)  # every page but the two that name the roots
    data.write_bytes(raw)
    (made / "LOCK").write_bytes(b"%d\n" % process())
    ended = subprocess.run([sys.executable, "-c", OPEN, str(made)], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.strip()) == (0, "IndexCorrupt"), ended.stderr


def test_beside_a_writer_nothing_is_walked(made):
    (made / "LOCK").write_bytes(b"what nobody wrote\n")
    assert walk_by_reader(made).is_due()
    with vsearch.open(made, write=True):
        assert files.is_locked(made / "LOCK")
        assert not walk_by_reader(made).is_due()


def test_what_the_last_writer_left_is_not_walked_and_a_copy_is(made, tmp_path):
    assert not walk_by_reader(made).is_due()
    shutil.copytree(made, tmp_path / "copy.vsearch")
    assert (tmp_path / "copy.vsearch" / "LOCK").read_bytes() == clean_note(made)
    assert walk_by_reader(tmp_path / "copy.vsearch").is_due()


def test_what_was_walked_is_walked_again_only_when_it_was_touched(made):
    (made / "LOCK").write_bytes(b"")
    walk = walk_by_reader(made)
    assert walk.is_due()
    walk.passed()
    assert not walk_by_reader(made).is_due()
    os.utime(made / "meta" / "data.mdb")
    assert walk_by_reader(made).is_due()


def test_a_note_is_not_believed_of_a_file_that_was_touched_later(made):
    note, before = clean_note(made), os.stat(made / "meta" / "data.mdb")
    os.utime(made / "meta" / "data.mdb", ns=(before.st_atime_ns, before.st_mtime_ns))  # as archives and copies set it
    assert (made / "LOCK").read_bytes() == note != clean_note(made)
    assert walk_by_reader(made).is_due()
