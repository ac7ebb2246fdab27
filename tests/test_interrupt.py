"""The real program, stopped in the middle: at most the batch in flight is lost, and the next run goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import vsearch
from vsearch.errors import IndexNotFound

COUNT = 1500


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "photos"
    folder.mkdir()
    for n in range(COUNT):
        Image.new("RGB", (64, 64), (n % 256, n * 7 % 256, n // 6)).save(folder / f"{n:04d}.png")
    return folder


def start(folder: Path, index: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vsearch", "index", folder, "--index", index, "--encoder", "toy", "--json"]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(index: Path, pictures: int, running: subprocess.Popen[str]) -> int:
    """Watch as any other process may, until so many are committed."""
    while True:
        try:
            with vsearch.open(index) as opened:
                while running.poll() is None and len(opened) < pictures:
                    pass
                return len(opened)
        except IndexNotFound:
            assert running.poll() is None, running.communicate()[1]


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after", [1, 500, 1100])
def test_P1_a_stopped_run_keeps_what_it_committed_and_the_next_one_goes_on(tmp_path, many, stop, after):
    index = tmp_path / "x.vsearch"
    running = start(many, index)
    seen = wait_for(index, after, running)
    running.send_signal(stop)
    _, said = running.communicate()
    assert "Traceback" not in said
    with vsearch.open(index) as opened:
        kept = len(opened)
        assert kept >= seen
    if stop == signal.SIGINT and running.returncode != 0:
        assert running.returncode == 130
        assert "go on" in said or "goes on" in said, said
    again = start(many, index)
    told, said = again.communicate()
    assert again.returncode == 0, said
    report = json.loads(told)
    assert (report["added"], report["unchanged"], report["failed"]) == (COUNT - kept, kept, 0)
    with vsearch.open(index) as opened:
        assert len(opened) == COUNT
        assert opened.check().problems == ()
