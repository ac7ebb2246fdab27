"""``files.rename_new``: a file gets a name that is free, durably, and nothing is ever overwritten."""

import errno
import os

import pytest
from moved_pictures import fail_with

from vsearch import files


def no_flags(monkeypatch):
    """As on a file system that cannot rename without overwriting."""
    monkeypatch.setattr(files, "_renameat2", fail_with(errno.EINVAL))


@pytest.fixture(params=["renameat2", "its number", "links"])
def renaming(request, monkeypatch):
    if request.param == "links":
        no_flags(monkeypatch)
    elif request.param == "its number":
        if os.uname().machine not in files._RENAMEAT2:
            pytest.skip("the number of the call on this machine is not known")
        libc = files.ctypes.CDLL(None, use_errno=True)

        class Old:
            """A C library from before renameat2."""

            syscall = libc.syscall

        monkeypatch.setattr(files.ctypes, "CDLL", lambda *_, **__: Old)
    return request.param


def test_rename_new_moves_a_file_and_never_overwrites(tmp_path, renaming):
    old, new = tmp_path / "a", tmp_path / os.fsdecode(b"sub/\xff")
    new.parent.mkdir()
    old.write_text("a")
    before = os.lstat(old)
    files.rename_new(old, new)
    assert not old.exists() and new.read_text() == "a"
    assert os.path.samestat(before, os.lstat(new)) and os.lstat(new).st_nlink == 1
    for taken in ("file", "folder", "link to nothing"):
        other = tmp_path / taken
        {"file": other.touch, "folder": other.mkdir}.get(taken, lambda o=other: o.symlink_to("nothing"))()
        kept = os.lstat(other)
        with pytest.raises(FileExistsError):
            files.rename_new(new, other)
        assert os.lstat(other) == kept and new.read_text() == "a"
    with pytest.raises(FileNotFoundError):
        files.rename_new(tmp_path / "none", tmp_path / "b")


def test_rename_new_makes_the_new_name_durable_before_the_old_one_goes(tmp_path, renaming, monkeypatch):
    old, new = tmp_path / "x/a", tmp_path / "y/b"
    for path in (old, new):
        path.parent.mkdir()
    old.touch()
    synced = []
    monkeypatch.setattr(files, "fsync_dir", lambda path: synced.append((path.name, old.exists())))
    files.rename_new(old, new)
    assert synced == [("y", renaming == "links"), ("x", False)]


def test_where_links_fail_too_that_is_said(tmp_path, monkeypatch):
    (tmp_path / "a").touch()
    no_flags(monkeypatch)
    monkeypatch.setattr(os, "link", fail_with(errno.EPERM))
    with pytest.raises(OSError, match="neither rename without overwriting nor make links"):
        files.rename_new(tmp_path / "a", tmp_path / "b")
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize(("code", "left"), [(errno.EACCES, ["a"]), (errno.EIO, ["a", "b"])])
def test_a_link_whose_old_name_stays_goes_only_when_that_is_certain(tmp_path, monkeypatch, code, left):
    (tmp_path / "a").touch()
    no_flags(monkeypatch)
    unlink = os.unlink
    monkeypatch.setattr(os, "unlink", lambda path: fail_with(code)() if path.name == "a" else unlink(path))
    with pytest.raises(OSError, match=os.strerror(code)):
        files.rename_new(tmp_path / "a", tmp_path / "b")
    assert sorted(os.listdir(tmp_path)) == left
