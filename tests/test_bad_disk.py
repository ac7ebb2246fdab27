"""Disks that are full, read-only or gone: a message that says what to do, no traceback, nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import vsearch

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv[1:] = sys.argv[2:]
from vsearch.cli import main
sys.exit(main())
"""


def run(*arguments: object, limit: int | None = None, wrap: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    start = ["-m", "vsearch"] if limit is None else ["-c", LIMITED, str(limit)]
    command = [*wrap, sys.executable, *start, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def many(folder: Path, count: int = 400) -> Path:
    folder.mkdir()
    for n in range(count):
        Image.new("RGB", (8, 8), (n % 256, n * 7 % 256, n * 31 % 256)).save(folder / f"{n:04d}.png")
    return folder


def mounted(*command: str) -> bool:
    return os.geteuid() == 0 and subprocess.run(["mount", *command], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    if not mounted("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)):
        pytest.skip("mounting a small disk needs root")
    yield place
    subprocess.run(["umount", place], check=True)


def assert_clear(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_P4_a_full_disk_is_an_error_message_and_the_next_run_goes_on(tmp_path, small_disk):
    photos = many(tmp_path / "photos")
    index = small_disk / "x.vsearch"
    (small_disk / "ballast").write_bytes(bytes(880_000))
    done = run("index", photos, "--index", index, "--encoder", "toy")
    assert_clear(done, "disk is full", "intact", "run the same command again")
    (small_disk / "ballast").unlink()
    done = run("index", photos, "--index", index, "--encoder", "toy", "--json")
    assert done.returncode == 0, done.stderr
    done = run("check", index)
    assert done.returncode == 0, done.stdout + done.stderr
    with vsearch.open(index) as opened:
        assert len(opened) == 400


@pytest.mark.parametrize("limit", [1_000, 20_000, 60_000, 100_000, 140_000, 200_000])
def test_P4_a_file_that_cannot_grow_is_an_error_message_and_nothing_is_lost(tmp_path, limit):
    photos = many(tmp_path / "photos")
    index = tmp_path / "x.vsearch"
    done = run("index", photos, "--index", index, "--encoder", "toy", limit=limit)
    if done.returncode != 0:
        # LMDB tells a short write as an I/O error, so this is not always called a full disk.
        assert_clear(done, "intact", "run the same command again")
    done = run("index", photos, "--index", index, "--encoder", "toy")
    assert done.returncode == 0, done.stderr
    assert run("check", index).returncode == 0
    with vsearch.open(index) as opened:
        assert len(opened) == 400


def test_no_room_in_shared_memory_does_not_matter(tmp_path, photos):
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0:
        pytest.skip("hiding /dev/shm needs root")
    script = 'mount -t tmpfs -o size=4k,nr_inodes=2 tmpfs /dev/shm && exec "$@"'
    index = tmp_path / "x.vsearch"
    done = run("index", photos, "--index", index, "--encoder", "toy", wrap=("unshare", "-m", "sh", "-c", script, "sh"))
    assert done.returncode == 0, done.stderr
    with vsearch.open(index) as opened:
        assert len(opened) == 6


@pytest.fixture
def read_only(tmp_path, photos) -> Iterator[Path]:
    """A finished index that cannot be written, by a read-only mount where we are root."""
    made = tmp_path / "made.vsearch"
    with vsearch.create(made, encoder="toy") as index:
        index.add(vsearch.folder(photos))
    if os.geteuid() == 0:
        place = tmp_path / "ro.vsearch"
        place.mkdir()
        if not (mounted("--bind", str(made), str(place)) and mounted("-o", "remount,ro,bind", str(place))):
            pytest.skip("a read-only mount is not allowed here")
        yield place
        subprocess.run(["umount", place], check=True)
    else:
        for path in [*made.rglob("*"), made]:
            path.chmod(0o500 if path.is_dir() else 0o400)
        yield made
        for path in [made, *made.rglob("*")]:
            path.chmod(0o700)


def test_a_read_only_index_is_searched_and_changing_it_says_why_not(read_only, photos):
    done = run("query", "red", "-k", 1, "--paths", "--index", read_only)
    assert done.stdout == f"{photos / 'red.png'}\n", done.stderr
    assert run("check", read_only).returncode == 0
    assert run("info", read_only).returncode == 0
    assert_clear(run("index", photos, "--index", read_only), "cannot be written")
    assert_clear(run("build", read_only), "cannot be written")


def test_a_place_that_cannot_be_written_says_so(tmp_path, photos):
    if os.geteuid() == 0:
        place = tmp_path / "ro"
        place.mkdir()
        if not (mounted("--bind", str(place), str(place)) and mounted("-o", "remount,ro,bind", str(place))):
            pytest.skip("a read-only mount is not allowed here")
    else:
        place = tmp_path / "ro"
        place.mkdir(mode=0o500)
    try:
        assert_clear(run("index", photos, "--index", place / "x.vsearch", "--encoder", "toy"), "cannot be written")
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", place], check=True)


def test_what_is_missing_or_not_an_index_says_what_to_type(tmp_path, photos):
    assert_clear(run("index", tmp_path / "nowhere", "--index", tmp_path / "x.vsearch"), "nowhere")
    assert_clear(run("query", "red", "--index", tmp_path / "nowhere.vsearch"), "vsearch index")
    assert_clear(run("query", "red", "--index", photos), "not a vsearch index")
    shutil.copy(photos / "red.png", tmp_path / "file.vsearch")
    assert_clear(run("query", "red", "--index", tmp_path / "file.vsearch"), "not a vsearch index")


@pytest.mark.parametrize("what", ["", "FORMAT", "meta", "meta/data.mdb", "spaces"])
def test_an_index_that_may_not_be_read_is_there_all_the_same(tmp_path, photos, what):
    with vsearch.create(tmp_path / "i.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(photos))
    rights = "-dac_override,-dac_read_search"  # what lets root read everything
    wrap = ("setpriv", "--bounding-set", rights, "--inh-caps", rights, "--") if os.geteuid() == 0 else ()
    if wrap and subprocess.run([*wrap, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("giving up the rights of root is not allowed here")
    place = tmp_path / "i.vsearch" / what
    mode = place.stat().st_mode
    place.chmod(0)
    try:
        for command in (
            ("query", "red", "--index", tmp_path / "i.vsearch"),
            ("index", photos, "--index", place.parent),
        ):
            if command[0] == "query" or what in ("FORMAT", "spaces"):
                done = run(*command, wrap=wrap)
                assert_clear(done, "cannot be read (Permission denied)", "ask the owner")
                assert "not a vsearch index" not in done.stderr and "no such index" not in done.stderr
    finally:
        place.chmod(mode)
    assert run("query", "red", "-k", 1, "--paths", "--index", tmp_path / "i.vsearch").returncode == 0


def test_an_index_in_a_folder_that_is_not_there_says_what_to_make(tmp_path, photos):
    done = run("index", photos, "--index", tmp_path / "no" / "folder" / "i.vsearch", "--encoder", "toy")
    assert_clear(done, f"mkdir -p {tmp_path / 'no' / 'folder'}")
