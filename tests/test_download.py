"""Files from a model hub of our own: whole, checked, and no byte twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_hub_download, scan_cache_dir, try_to_load_from_cache

from tests.hub_client import Hurried, partials, use
from tests.loopback_hub import Fault, Hub, commit_of, etag_of
from vsearch.embed.download import transfer as transfer_module
from vsearch.embed.download.body import open_body
from vsearch.embed.download.fetch import drop_damaged, fetch_files
from vsearch.embed.download.notice import report_downloads
from vsearch.embed.hub import cache_only, offline
from vsearch.errors import EncoderError, EncoderUnavailable

REPO, WEIGHTS, CONFIG = "someone/model", "weights.safetensors", "config.json"
FILES = {WEIGHTS: os.urandom(4_000_000), CONFIG: b'{"a": 1}\n'}
MOST = 1.05  # times the bytes of a file that may leave the hub


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "home" / "hub"


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()
    hub.add(REPO, FILES)
    use(hub.url, cache, monkeypatch)
    with hub.running():
        yield hub


def assert_frugal(hub: Hub) -> None:
    """No file has left the hub more than once, but for little."""
    for name, sent in hub.sent.items():
        assert sent <= MOST * len(FILES[name]), f"{sent:,} bytes of {name} left the hub"


def test_files_come_into_the_cache_where_every_program_finds_them(hub, cache):
    paths = fetch_files(REPO, [CONFIG, WEIGHTS])
    assert [path.read_bytes() for path in paths] == [FILES[CONFIG], FILES[WEIGHTS]]
    for name, path in zip([CONFIG, WEIGHTS], paths, strict=True):
        assert try_to_load_from_cache(REPO, name) == hf_hub_download(REPO, name, local_files_only=True) == str(path)
    info = scan_cache_dir(cache)
    assert not info.warnings and info.size_on_disk == sum(map(len, FILES.values()))
    (revision,) = next(iter(info.repos)).revisions
    assert (revision.commit_hash, revision.refs) == (commit_of(FILES), {"main"})
    assert partials(cache) == []
    assert hub.sent == {name: len(content) for name, content in FILES.items()}


def test_what_is_here_needs_no_hub(hub):
    first = fetch_files(REPO, [CONFIG, WEIGHTS])
    asked = len(hub.requests)
    assert fetch_files(REPO, [CONFIG, WEIGHTS]) == first
    assert hf_hub_download(REPO, WEIGHTS) == str(first[1])  # the hub's own client sees that it has all of it
    assert len(hub.requests) == asked + 1 and hub.requests[-1] == ("HEAD", WEIGHTS)


def test_a_cut_connection_is_taken_up_where_it_broke(hub):
    for after in (1_000_000, 700_000, 1_500_000):
        hub.fail(WEIGHTS, Fault(cut=after))
    reports: list[tuple[int, int | None, str]] = []
    hurried = Hurried()
    (path,) = fetch_files(REPO, [WEIGHTS], report=lambda *told: reports.append(told), patience=hurried.patience)
    size = len(FILES[WEIGHTS])
    assert path.read_bytes() == FILES[WEIGHTS]
    assert hub.sent[WEIGHTS] == size and hub.asked("GET", WEIGHTS) == 4
    assert hurried.waited == [0, 0, 0]  # each try brought something
    done = [number for number, _, _ in reports]
    assert done == sorted(done) and (done[0], done[-1]) == (0, size)
    assert {told[1:] for told in reports} == {(size, WEIGHTS)}
    assert_frugal(hub)


def test_the_count_of_bytes_shows_a_resume_that_begins_anew(hub, monkeypatch):
    monkeypatch.setattr(transfer_module, "open_body", lambda file, offset, seconds: open_body(file, 0, seconds))
    for after in (1_000_000, 2_000_000, 3_000_000):
        hub.fail(WEIGHTS, Fault(cut=after))
    (path,) = fetch_files(REPO, [WEIGHTS], patience=Hurried().patience)
    assert path.read_bytes() == FILES[WEIGHTS]
    with pytest.raises(AssertionError, match="left the hub"):
        assert_frugal(hub)


def test_ctrl_c_loses_nothing(hub, cache):
    def interrupt(done: int, total: int | None, name: str) -> None:
        if done >= 1_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_files(REPO, [WEIGHTS], report=interrupt)
    (kept,) = partials(cache)
    assert kept >= 1_000_000
    hub.sent.clear()  # what the hub had sent and nobody read is lost with the connection
    (path,) = fetch_files(REPO, [WEIGHTS])
    assert path.read_bytes() == FILES[WEIGHTS] and hub.sent[WEIGHTS] == len(FILES[WEIGHTS]) - kept


def test_an_error_of_the_callback_is_the_callers_own(hub):
    def fail(done: int, total: int | None, name: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fetch_files(REPO, [WEIGHTS], report=fail)


def test_downloads_are_told_to_whoever_asked_for_those_of_the_process(hub):
    told: list[str] = []
    with report_downloads(lambda done, total, name: told.append(name)):
        thread = threading.Thread(target=fetch_files, args=(REPO, [WEIGHTS]))
        thread.start()
        thread.join()
    fetch_files(REPO, [CONFIG])
    assert set(told) == {WEIGHTS}


@pytest.mark.parametrize("name", [WEIGHTS, CONFIG])
def test_wrong_bytes_are_noticed_deleted_and_told(hub, cache, name):
    hub.fail(name, Fault(spoil=True))
    reports: list[int] = []
    with pytest.raises(EncoderError, match=rf"{name} of {REPO} .* other bytes .* deleted\. Type the same again"):
        fetch_files(REPO, [name], report=lambda done, total, name: reports.append(done))
    assert partials(cache) == [] and reports[-1] == 0
    assert try_to_load_from_cache(REPO, name) is None
    assert fetch_files(REPO, [name])[0].read_bytes() == FILES[name]


def test_a_checksum_that_is_announced_wrongly_is_noticed(hub, cache):
    hub.fail(WEIGHTS, Fault(etag="0" * 64), method="HEAD")
    with pytest.raises(EncoderError, match="checksum 000000000000…"):
        fetch_files(REPO, [WEIGHTS])
    assert partials(cache) == []


def test_damage_in_the_cache_is_found_and_mended(hub, cache, monkeypatch):
    (path,) = fetch_files(REPO, [WEIGHTS])
    assert not drop_damaged(REPO, [WEIGHTS, CONFIG])
    path.resolve().write_bytes(FILES[WEIGHTS][:-1] + b"?")
    monkeypatch.setenv("VSEARCH_OFFLINE", "1")
    with pytest.raises(EncoderUnavailable, match="is damaged.*switched off by request"):
        drop_damaged(REPO, [WEIGHTS])
    assert path.exists()
    monkeypatch.delenv("VSEARCH_OFFLINE")
    assert drop_damaged(REPO, [WEIGHTS])
    assert fetch_files(REPO, [WEIGHTS])[0].read_bytes() == FILES[WEIGHTS]


def test_files_of_one_call_are_of_one_version_and_what_did_not_change_is_not_fetched(hub):
    fetch_files(REPO, [WEIGHTS])
    newer = {**FILES, CONFIG: b'{"a": 2}\n'}
    hub.add(REPO, newer)
    paths = fetch_files(REPO, [WEIGHTS, CONFIG])
    assert [path.read_bytes() for path in paths] == [newer[WEIGHTS], newer[CONFIG]]
    assert {path.parent.name for path in paths} == {commit_of(newer)}
    assert hub.sent[WEIGHTS] == len(FILES[WEIGHTS])


# ---------------------------------------------------------------- disks on bad days


def test_too_little_room_is_told_before_the_first_byte(hub):
    hub.fail(WEIGHTS, Fault(length=10**18), method="HEAD")
    with pytest.raises(EncoderError, match=r"needs 1,000,000,000,000 MB more, and the disk .* free.*HF_HOME"):
        fetch_files(REPO, [CONFIG, WEIGHTS])
    assert not hub.sent


def test_a_cache_that_cannot_be_made(hub, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    with pytest.raises(EncoderError, match=r"The cache .*/file/hub cannot be written \(Not a directory\).*HF_HOME"):
        fetch_files(REPO, [WEIGHTS])


def test_the_names_of_contents_are_those_of_git(tmp_path):
    """The test hub's checksums of small files are what Git itself says."""
    if not shutil.which("git"):
        pytest.skip("asks git")
    (tmp_path / "file").write_bytes(FILES[CONFIG])
    told = subprocess.run(["git", "hash-object", tmp_path / "file"], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == etag_of(FILES[CONFIG])


# ---------------------------------------------------------------- the switch of the hub's client, which is one for all


def test_threads_that_load_at_the_same_time_leave_the_switch_as_it_was(hub):
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with cache_only():
            first_in.set()
            second_in.wait(0.2)  # which must not come before this one is out
        first_out.set()

    def second() -> None:
        first_in.wait()
        with cache_only():
            second_in.set()
            first_out.wait()

    threads = [threading.Thread(target=run) for run in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert constants.HF_HUB_OFFLINE is False


def test_a_download_is_not_taken_for_forbidden_while_another_thread_loads_from_the_cache(hub):
    loading, fetched = threading.Event(), threading.Event()

    def load() -> None:
        with cache_only():
            loading.set()
            fetched.wait(0.2)  # the download waits for this one instead

    thread = threading.Thread(target=load)
    thread.start()
    loading.wait()
    assert not offline()
    assert fetch_files(REPO, [CONFIG])[0].read_bytes() == FILES[CONFIG]
    fetched.set()
    thread.join()
