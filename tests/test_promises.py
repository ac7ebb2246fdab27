"""What vsearch guarantees about somebody's pictures, each promise under its number."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vsearch
from vsearch.errors import EncoderMismatch, IndexCorrupt, SourceError
from vsearch.types import EncoderInfo, PixelSpec


def run(*arguments: str | Path, cwd: Path, **more) -> subprocess.CompletedProcess[str]:
    """The real program."""
    command = [sys.executable, "-m", "vsearch", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, **more)


def tree(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Everything about a folder that a program could have changed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        told = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path)] = (told.st_mode, told.st_mtime_ns, content)
    return found


def folder_of(tmp_path: Path, count: int) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(count):
        Image.new("RGB", (9, 9), (n * 7 % 256, n * 13 % 256, n * 29 % 256)).save(folder / f"{n:03d}.png")
    return folder


# P10


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: apt-get install strace")
def test_P10_no_system_call_changes_anything_in_the_photo_folder(tmp_path, photos):
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff not really")
    before = tree(photos)
    log = tmp_path / "calls"
    calls = "open,openat,openat2,creat,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,rmdir,link,linkat,"
    calls += "symlink,symlinkat,truncate,chmod,fchmodat,chown,fchownat,utimensat,utime,utimes,mknod,mknodat,setxattr"
    x = tmp_path / "x.vsearch"
    for arguments in (
        ("index", photos, "--index", x, "--encoder", "toy"),
        ("query", "red", "--index", x, "--html", tmp_path / "sheet.html"),
        ("index", photos, "--index", x, "--retry-failed", "--prune", "--yes"),
        ("tag", "--labels", "red,blue", "--index", x),
        ("dups", "--threshold", "0.5", "--index", x),
        ("repair", x),
    ):
        program = [sys.executable, "-m", "vsearch", *map(str, arguments)]
        subprocess.run(
            ["strace", "-f", "-y", "-A", "-o", log, "-e", f"trace={calls}", *program],
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
    lines = log.read_text(errors="replace").splitlines()
    touching = [line for line in lines if f"{photos}/" in line or f'"{photos}"' in line]
    assert len(touching) > 10, "the pictures were read under the eyes of strace"
    writing = ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND")
    reading = [line for line in touching if "open" in line and not any(flag in line for flag in writing)]
    assert sorted(set(touching) - set(reading)) == []
    assert tree(photos) == before


@contextmanager
def read_only(folder: Path):
    """The folder so that nothing can write to it: by a read-only mount as root, whom permissions do not bind."""
    if os.geteuid() == 0:
        mounts = (["--bind", folder, folder], ["-o", "remount,ro,bind", folder])
        if any(subprocess.run(["mount", *m], capture_output=True, check=False).returncode for m in mounts):
            pytest.skip("a read-only mount is not allowed here")
        try:
            yield
        finally:
            subprocess.run(["umount", folder], check=True)
    else:
        everything = [*folder.rglob("*"), folder]
        for path in everything:
            path.chmod(0o500 if path.is_dir() else 0o400)
        try:
            yield
        finally:
            for path in reversed(everything):
                path.chmod(0o700)


def test_P10_everything_works_with_the_photos_on_a_read_only_tree(tmp_path, photos):
    x = tmp_path / "x.vsearch"
    with read_only(photos):
        with pytest.raises(OSError, match="Read-only|denied"):
            (photos / "probe").touch()
        before = tree(photos)
        for arguments in (
            ("index", photos, "--index", x, "--encoder", "toy"),
            ("index", photos, "--index", x, "--retry-failed", "--prune", "--yes"),
            ("query", "red", "--index", x, "--html", tmp_path / "sheet.html"),
            ("query", "--image", photos / "red.png", "--index", x),
            ("query", "--like", 1, "--index", x, "--json"),
            ("info", x),
            ("check", x),
            ("repair", x),
            ("compact", x),
            ("backup", tmp_path / "y.vsearch", "--index", x),
        ):
            done = run(*arguments, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
        assert tree(photos) == before


# P11


def test_P11_an_emptied_folder_loses_nothing_and_a_remount_embeds_nothing(tmp_path, photos, index):
    away = tmp_path / "away"
    photos.rename(away)
    photos.mkdir()
    report = index.add(vsearch.folder(photos))
    assert (report.added, report.removed) == (0, 0)
    assert "not there" in report.warnings[0]
    assert len(index) == 6
    report = index.add(vsearch.folder(photos), prune=True)
    assert len(index) == 6, "more than a tenth is not forgotten without yes"
    photos.rmdir()
    away.rename(photos)
    report = index.add(vsearch.folder(photos))
    assert (report.added, report.unchanged) == (0, 6)


def test_P11_a_folder_that_is_not_there_is_an_error_not_a_deletion(tmp_path, photos, index):
    away = tmp_path / "away"
    photos.rename(away)
    with pytest.raises(SourceError):
        index.add(vsearch.folder(photos))
    assert len(index) == 6


def test_P11_a_third_of_the_files_gone_is_marked_and_comes_back_without_embedding(tmp_path):
    photos = folder_of(tmp_path, 30)
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(photos))
        aside = tmp_path / "aside"
        aside.mkdir()
        for n in range(10):
            (photos / f"{n:03d}.png").rename(aside / f"{n:03d}.png")
        report = index.add(vsearch.folder(photos), prune=True)
        assert report.removed == 10
        assert "10 of 30" in report.warnings[0]
        assert "--yes" in report.warnings[0]
        assert len(index) == 20
        for path in aside.iterdir():
            path.rename(photos / path.name)
        report = index.add(vsearch.folder(photos))
        assert (report.added, report.unchanged + report.moved) == (0, 30)
        assert len(index) == 30
        shutil.rmtree(photos / "000.png", ignore_errors=True)
        (photos / "000.png").unlink()
        assert index.add(vsearch.folder(photos), prune=True).warnings == ()
        assert index.info()["missing"] == 0
        assert len(index) == 29


def test_P11_an_unreadable_subfolder_is_not_a_deletion(tmp_path, photos, index):
    class Unreadable:
        """A folder source that cannot look into one of its folders."""

        roots = (os.fsencode(photos),)

        def __iter__(self):
            hidden = os.fsencode(photos / "light")
            for item in vsearch.folder(photos):
                if not item.path.startswith(hidden):
                    yield item
            yield vsearch.Failure(hidden, "scan", "permission denied")

    report = index.add(Unreadable())
    assert (report.removed, report.failed, report.unchanged) == (0, 1, 4)
    assert len(index) == 6


# P15


def encoder_like(**changes):
    """The toy encoder under another description."""

    class Other:
        """Same vectors, other fingerprint."""

        def __init__(self):
            self.inner = vsearch.load_encoder("toy")
            told = self.inner.info
            told = {k: getattr(told, k) for k in ("name", "weights", "dim", "preprocess", "settings", "normalised")}
            self.info = EncoderInfo(**{**told, **changes})
            self.preprocess = self.info.preprocess

        def encode_images(self, pixels):
            return self.inner.encode_images(pixels)

        def encode_texts(self, texts):
            return self.inner.encode_texts(texts)

    return Other()


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": "ab" * 32},
        {"dim": 65},
        {"preprocess": PixelSpec(17, "squash")},
        {"normalised": False},
        {"settings": {"temperature": 3}},
        {"name": "other", "weights": "cd" * 32},
    ],
    ids=str,
)
def test_P15_an_encoder_that_makes_other_vectors_is_refused_with_both_names(tmp_path, index, changes):
    other = encoder_like(**changes)
    with pytest.raises(EncoderMismatch) as refused:
        vsearch.open(index.path, encoder=other)
    assert "toy" in str(refused.value)
    assert other.info.name in str(refused.value)
    assert "--encoder" in str(refused.value)


def test_P15_files_of_another_collection_are_refused(tmp_path, photos, index):
    index.close()
    with vsearch.create(tmp_path / "other.vsearch", encoder="toy") as other:
        other.add(vsearch.folder(photos))
    space = next((tmp_path / "other.vsearch" / "spaces").iterdir()).name
    mine = index.path / "spaces" / space / "vectors" / "00000001.f16"
    keep = mine.read_bytes()
    shutil.copy(tmp_path / "other.vsearch" / "spaces" / space / "vectors" / "00000001.f16", mine)
    with pytest.raises(IndexCorrupt, match="not the vectors of this index"), vsearch.open(index.path) as opened:
        opened.search("red")
    mine.write_bytes(keep)
    shutil.copy(tmp_path / "other.vsearch" / "meta" / "data.mdb", index.path / "meta" / "data.mdb")
    with pytest.raises(IndexCorrupt, match="another index"):
        vsearch.open(index.path)


# P18


def test_P18_what_was_added_a_moment_ago_is_found_from_this_and_another_process(tmp_path, photos, index):
    reader = vsearch.open(index.path)
    Image.new("RGB", (30, 30), (255, 105, 180)).save(photos / "pink.png")
    index.add(vsearch.folder(photos))
    for searching in (index, reader):
        assert searching.search(photos / "pink.png", k=1, include_query=True)[0].path == photos / "pink.png"
    asked = ("query", "--image", photos / "pink.png", "--keep-query", "-k", 1, "--paths", "--index", index.path)
    told = run(*asked, cwd=tmp_path)
    assert told.stdout == f"{photos / 'pink.png'}\n", told.stderr
    reader.close()


# P19


def test_P19_a_change_within_the_same_tick_and_a_restored_mtime_are_noticed(tmp_path, photos, index):
    path = photos / "red.png"
    told = path.stat()
    green = (photos / "green.png").read_bytes()
    padded = green + bytes(told.st_size - len(green)) if len(green) <= told.st_size else None
    if padded is None:
        path.write_bytes(path.read_bytes() + bytes(len(green) - told.st_size))
        os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))
        index.add(vsearch.folder(photos))
        padded = green
    size = path.stat().st_size
    path.write_bytes(padded)
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))
    assert path.stat().st_size == size, "same size, same mtime, other picture"
    report = index.add(vsearch.folder(photos))
    assert report.added == 1
    green_ones = [hit for hit in index.search("green", k=2) if hit.score > 0.99]
    assert {path.name for hit in green_ones for path in (hit.path, *hit.copies)} == {"red.png", "green.png"}


@pytest.mark.parametrize("years", [-30, 10])
def test_P19_file_times_from_another_decade_change_nothing(photos, index, years):
    then = time.time_ns() + years * 365 * 86_400 * 10**9
    for path in photos.rglob("*.png"):
        os.utime(path, ns=(then, then))
    for _ in range(2):
        report = index.add(vsearch.folder(photos))
        assert (report.added, report.unchanged, report.removed) == (0, 6, 0)
    assert index.search("red", k=1)[0].path.name == "red.png"


# Recognising what was seen before


def test_moved_and_renamed_files_keep_their_ids_and_are_not_embedded_again(tmp_path, photos, index):
    before = {h.path.name: h.id for h in index.search("red", k=6)}
    (photos / "elsewhere").mkdir()
    for name in ("red", "blue"):
        (photos / f"{name}.png").rename(photos / "elsewhere" / f"{name}.png")
    index._searcher.encoder = None  # Embedding anything would load it again.
    report = index.add(vsearch.folder(photos))
    assert (report.moved, report.added, report.removed, report.unchanged) == (2, 0, 0, 4)
    assert index._searcher.encoder is None
    assert {h.path.name: h.id for h in index.search("red", k=6)} == before


def test_identical_bytes_are_embedded_once(photos, index):
    shutil.copy(photos / "red.png", photos / "twin.png")
    index._searcher.encoder = None
    report = index.add(vsearch.folder(photos))
    assert report.added == 1
    assert index._searcher.encoder is None
    (hit,) = index.search("red", k=1)
    assert {hit.path.name, *(copy.name for copy in hit.copies)} == {"red.png", "twin.png"}


def test_a_caption_that_changes_is_read_again(photos, index):
    assert index.search("red", k=1)[0].caption == "a red square"
    (photos / "red.txt").write_text("crimson")
    assert index.add(vsearch.folder(photos)).added == 0
    assert index.search("red", k=1)[0].caption == "crimson"


def test_failures_are_remembered_retried_when_they_change_and_on_request(photos, index):
    bad = photos / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff\xe0 no")
    assert index.add(vsearch.folder(photos)).failed == 1
    assert [f.path for f in index.errors()] == [os.fsencode(bad)]
    report = index.add(vsearch.folder(photos))
    assert (report.failed, report.known_failures) == (0, 1)
    assert index.add(vsearch.folder(photos), retry_failed=True).failed == 1
    shutil.copy(photos / "red.png", bad)
    assert index.add(vsearch.folder(photos)).added == 1
    assert index.errors() == []
    bad.write_bytes(b"no longer a picture")
    assert index.add(vsearch.folder(photos)).failed == 1
    assert len(index) == 6, "what was indexed there is not what the file holds any more"
    bad.unlink()
    index.add(vsearch.folder(photos))
    assert index.errors() == []


def test_overlapping_folders_are_not_indexed_twice(tmp_path, photos):
    from vsearch.sources import chain

    with vsearch.create(tmp_path / "y.vsearch", encoder="toy") as index:
        report = index.add(chain(vsearch.folder(photos), vsearch.folder(photos / "light")))
        assert report.added == 6
        assert len(index) == 6


def test_scores_equal_cosines(photos, index):
    encoder = vsearch.load_encoder("toy")
    xq = encoder.encode_texts(["yellow"])[0]
    for hit in index.search("yellow", k=6):
        with Image.open(hit.path) as picture:
            from vsearch.decode import fit

            vector = encoder.encode_images(fit(picture, encoder.preprocess)[None])[0]
        assert hit.score == pytest.approx(float(np.dot(xq, vector)), abs=1e-3)


def test_forgetting_a_whole_folder_does_not_say_that_nothing_was_removed(tmp_path, photos):
    with vsearch.create(tmp_path / "i.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(photos))
        pictures = sorted(photos.rglob("*.png"))
        for path in pictures:
            path.unlink()
        kept = index.add(vsearch.folder(photos), prune=True)
        assert (kept.removed, len(index)) == (0, len(pictures)) and "nothing was" in kept.warnings[0]
        gone = index.add(vsearch.folder(photos), prune=True, yes=True)
        assert (gone.removed, gone.warnings, len(index)) == (len(pictures), (), 0)
