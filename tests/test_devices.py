"""Indexing with a process for each device: two of the CPU, of which one is killed."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_pictures import drawn
from forked import run

import vsearch
from vsearch.decode import Job, Limits
from vsearch.distributed import Devices, blocks
from vsearch.errors import EncoderError, EncoderMismatch

COUNT = 40
TWO = Devices(["cpu", "cpu"])


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("devices") / "photos"
    folder.mkdir()
    for seed in range(COUNT):
        drawn(seed, (48, 36)).save(folder / f"{seed:02d}.png")
    (folder / "broken.jpg").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def alone(photos, tmp_path_factory) -> Path:
    """The index that one process makes."""
    place = tmp_path_factory.mktemp("alone") / "alone.vsearch"
    with vsearch.create(place, encoder="toy") as index:
        index.add(vsearch.folder(photos))
    return place


def held(place: Path):
    """Ids and contents by path, vectors by id, failures, and what a search finds."""
    with vsearch.open(place) as index, index.store.snapshot() as snapshot:
        kept = {record.path: (id, record.content) for id, record in snapshot.items()}
        rows = snapshot.vectors(np.array(sorted(id for id, _ in kept.values())))
        return kept, index.errors(), [hit.path for hit in index.search("red and blue", k=COUNT)], rows


def same(one: Path, other: Path) -> None:
    *told, rows = held(one)
    *told_too, rows_too = held(other)
    assert told == told_too
    assert len(rows) == COUNT and np.array_equal(rows, rows_too)


def processes() -> set[int]:
    """Those of devices that this process has started and that live."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if b"vsearch.distributed.process" in words and parent == os.getpid():
            found.add(int(pid))
    return found


def test_the_command_makes_the_index_of_one_process(photos, alone, tmp_path):
    words = ("index", str(photos), "--index", "x.vsearch", "--encoder", "toy", "--device", "cpu,cpu")
    code, out, err = run(*words, cwd=tmp_path)
    assert code == 3, err
    assert f"{COUNT} added, 1 failed" in out
    same(tmp_path / "x.vsearch", alone)


def test_what_a_killed_process_had_is_done_by_another(photos, alone, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 4)
    monkeypatch.setattr("vsearch.ingest.pipeline.BATCH_IMAGES", 4)
    killed = []

    def strike(progress):
        if progress.done and not killed:
            killed.append(max(processes()))
            os.kill(killed[0], signal.SIGKILL)

    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        report = index.add(vsearch.folder(photos), cluster=TWO, progress=strike)
        assert killed and (report.added, report.failed) == (COUNT, 1)
        assert index.check().problems == ()
    same(tmp_path / "x.vsearch", alone)
    assert processes() == set()


def test_files_of_which_processes_die_are_given_up_and_told(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 4)
    monkeypatch.setattr(blocks, "TRIES", 1)
    monkeypatch.setattr("vsearch.ingest.pipeline.BATCH_IMAGES", 4)
    left = [1]

    def strike(progress):
        if progress.done and left:
            left.pop()
            for pid in processes():
                os.kill(pid, signal.SIGKILL)

    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        report = index.add(vsearch.folder(photos), cluster=TWO, progress=strike)
        lost = [failure for failure in report.failures if failure.stage == "embed"]
        assert 0 < len(lost) <= 16 and "workers died" in lost[0].reason
        assert report.added + report.failed == COUNT + 1
        again = index.add(vsearch.folder(photos), cluster=TWO, retry_failed=True)
        # The file that is no picture may have been among those that were lost; now it is told for what it is.
        pictures = [failure for failure in lost if not failure.path.endswith(b"broken.jpg")]
        assert (again.added, again.failed) == (len(pictures), 1)


def test_an_interrupt_ends_the_processes_and_the_next_run_goes_on(photos, alone, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 4)
    monkeypatch.setattr("vsearch.ingest.pipeline.BATCH_IMAGES", 4)

    def interrupt(progress):
        if progress.done:
            raise KeyboardInterrupt

    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        with pytest.raises(KeyboardInterrupt):
            index.add(vsearch.folder(photos), cluster=TWO, progress=interrupt)
        assert processes() == set()
        assert 0 < len(index) < COUNT
        index.add(vsearch.folder(photos), cluster=TWO)
    same(tmp_path / "x.vsearch", alone)


def test_an_encoder_that_is_another_is_told_and_the_processes_end(photos, tmp_path):
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        odd = replace(index.encoder_info, weights="0" * 64)
        with TWO.reader(odd, Limits()) as reader, pytest.raises(EncoderMismatch):
            list(reader.read([Job(os.fsencode(photos / "00.png"))]))
    assert processes() == set()


def test_devices_that_are_not_there_are_refused():
    assert Devices.named("cpu, cpu").names == ("cpu", "cpu")
    for told in ("", "cpu,,cpu", "cuda:99", "abacus"):
        with pytest.raises(EncoderError):
            Devices.named(told)
