"""Getting a model as people do: the first ``vsearch index``, ``vsearch models fetch`` and ``vsearch models export``."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.loopback_hub import Fault, Hub
from tests.small_clip import save_model
from vsearch.cli.downloads import Downloads, amount, state

PROGRAM = [sys.executable, "-m", "vsearch"]
WEIGHTS, NAME = "open_clip_model.safetensors", "hf-hub:someone/small"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def hub(model: Path) -> Iterator[Hub]:
    hub = Hub()
    hub.add("someone/small", model)
    with hub.running():
        yield hub


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number in range(3):
        Image.new("RGB", (40, 30), (80 * number, 0, 0)).save(tmp_path / f"photos/{number}.png")
    return tmp_path


def environment(hub: Hub, here: Path, **more: str) -> dict[str, str]:
    return {**hub.environment(here / "home"), "COLUMNS": "80", "LINES": "24", "OMP_NUM_THREADS": "1", **more}


def run(*words: str, hub: Hub, here: Path, **more: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error with numbers as N."""
    env = environment(hub, here, **more)
    done = subprocess.run([*PROGRAM, *words], cwd=here, env=env, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, re.sub(r"[0-9][0-9.,]*", "N", done.stderr)


class Terminal:
    """The program on a terminal 80 columns wide."""

    def __init__(self, *words: str, hub: Hub, here: Path) -> None:
        self._outside, inside = pty.openpty()
        env = environment(hub, here, TERM="xterm-256color")
        self.child = subprocess.Popen(
            [*PROGRAM, *words], cwd=here, env=env, stdin=inside, stdout=inside, stderr=inside, start_new_session=True
        )
        os.close(inside)
        self.text = ""

    def read(self, until: str | None = None) -> str:
        """All that was shown, to its end or until something shows."""
        try:
            while (until is None or until not in self.text) and (piece := os.read(self._outside, 4096)):
                self.text += piece.decode()
        except OSError:  # the terminal closes with its last writer
            pass
        if until is None:
            os.close(self._outside)
            self.child.wait(60)
        return self.text


def frames(text: str) -> list[str]:
    """What could be read on a terminal, one after the other: numbers as N, no colours, no bars, nothing twice."""
    seen: list[str] = []
    for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)):
        plain = re.sub(r"[^\x20-\x7e→]", "", line)
        plain = re.sub(r"N/s\b", "N/s", re.sub(r"[0-9][0-9.,:]*", "N", plain)).strip()
        if plain and (not seen or seen[-1] != plain):
            seen.append(plain)
    return seen


FIRST_INDEX = """
vsearch: encoder hf-hub:someone/small: as asked for
open_clip_config.json: N of N kB, N %
open_clip_model.safetensors: N of N MB, N %
vsearch: open_clip_model.safetensors: N MB fetched in N s
looking for pictures
N of N pictures, N/s
N of N pictures, N/s, N left
N added in N s (N/s) → photos.vsearch
"""


def test_the_first_index_shows_the_download_before_and_apart_from_the_pictures(hub, here):
    hub.fail(WEIGHTS, Fault(cut=2_000_000))
    hub.fail(WEIGHTS, Fault(hold=1_000_000))
    terminal = Terminal("index", "photos", "--encoder", NAME, hub=hub, here=here)
    assert "pictures" not in terminal.read(until=f"{WEIGHTS}: 0.0 of 6.9 MB, 0 %").partition("as asked for")[2]
    hub.go.set()
    shown = frames(terminal.read())
    assert terminal.child.returncode == 0
    rewritten = re.compile(r"open_clip_model.safetensors: N of N MB, N %, N [kM]B/s, N left")
    pictures = re.compile("looking for pictures|N of N pictures.*")
    golden = FIRST_INDEX.strip().split("\n")
    assert [line for line in shown if not rewritten.fullmatch(line) and not pictures.fullmatch(line)] == [
        line for line in golden if not pictures.fullmatch(line)
    ]
    assert [line for line in shown if line in golden] == [line for line in golden if line in shown]  # the order
    first_picture = next(number for number, line in enumerate(shown) if pictures.fullmatch(line))
    assert shown.index(golden[3]) < first_picture
    assert hub.sent[WEIGHTS] == len(hub.repos["someone/small"][WEIGHTS])


def test_a_download_while_a_bar_is_shown_takes_its_place(hub, here):
    """An index whose encoder is no longer in the cache: pictures are looked for before the encoder is needed."""
    assert run("index", "photos", "--encoder", NAME, hub=hub, here=here)[0] == 0
    (here / "home").rename(here / "away")
    Image.new("RGB", (40, 30), (0, 90, 0)).save(here / "photos/new.png")
    terminal = Terminal("index", "photos", hub=hub, here=here)
    shown = frames(terminal.read())
    assert terminal.child.returncode == 0
    fetched = shown.index("vsearch: open_clip_model.safetensors: N MB fetched in N s")
    assert all(("open_clip" in line) != ("pictures" in line) for line in shown[:-1])
    assert any("pictures" in line for line in shown[fetched:-1])  # the bar is back
    assert shown[-1] == "N added, N unchanged in N s (N/s) → photos.vsearch"
    begin, end = "\x1b[?25l", "\x1b[?25h"  # a bar hides the cursor while it is there
    for line in re.finditer(r"\r\x1b\[K(vsearch: )?open_clip", terminal.text):
        before = terminal.text[: line.start()]
        assert before.count(begin) == before.count(end) > 0


def test_models_fetch_says_what_it_did_and_then_works_without_a_network(hub, here):
    fetched = f"vsearch: fetching {WEIGHTS}, N MB\nvsearch: {WEIGHTS}: N MB fetched in N s\n"
    assert run("models", "fetch", NAME, hub=hub, here=here) == (0, f"{NAME}: fetched\n", fetched)
    asked = len(hub.requests)
    assert run("models", "fetch", NAME, hub=hub, here=here, HF_HUB_OFFLINE="1") == (0, f"{NAME}: already here\n", "")
    assert run("models", "fetch", "mini", hub=hub, here=here) == (0, "mini: already here\n", "")
    code, out, err = run("index", "photos", "--encoder", NAME, hub=hub, here=here, VSEARCH_OFFLINE="1")
    assert code == 0 and out.startswith("3 added") and err == f"vsearch: encoder {NAME}: as asked for\n"
    assert len(hub.requests) == asked
    (weights,) = (here / "home").rglob(WEIGHTS)
    with weights.resolve().open("r+b") as file:
        file.seek(5000)
        file.write(b"damage")
    code, out, err = run("models", "fetch", NAME, hub=hub, here=here)
    assert (code, out) == (0, f"{NAME}: fetched\n") and "was damaged" in err
    assert weights.read_bytes() == hub.repos["someone/small"][WEIGHTS]


def test_interrupted_it_says_what_is_here_and_goes_on_from_there(hub, here):
    hub.fail(WEIGHTS, Fault(hold=3_000_000, cut=3_000_000))
    terminal = Terminal("models", "fetch", NAME, hub=hub, here=here)
    terminal.read(until=f"{WEIGHTS}: ")
    while sum(path.stat().st_size for path in here.rglob("*.incomplete")) < 3_000_000:
        assert terminal.child.poll() is None
        hub.go.wait(0.02)
    terminal.child.send_signal(signal.SIGINT)
    shown = frames(terminal.read())
    assert terminal.child.returncode == 130
    assert shown[-2:] == [
        "vsearch: open_clip_model.safetensors: N MB are here; the same command goes on from there",
        "vsearch: interrupted",
    ]
    hub.go.set()
    code, out, err = run("models", "fetch", NAME, hub=hub, here=here)
    assert (code, out) == (0, f"{NAME}: fetched\n")
    assert "fetching open_clip_model.safetensors, N MB, N MB of it are here" in err
    assert hub.sent[WEIGHTS] == len(hub.repos["someone/small"][WEIGHTS])


def test_what_cannot_be_had_is_an_error(hub, here):
    for words in (("models", "fetch"), ("index", "photos", "--encoder")):
        code, out, err = run(*words, "hf-hub:someone/else", hub=hub, here=here)
        assert (code, out) == (2, "") and "hf-hub:someone/else is not on this machine" in err
        assert "shows it to some people only" in err and "--encoder mini" in err
        assert "`vsearch models fetch hf-hub:someone/else`" in err
    assert not (here / "photos.vsearch").exists()
    code, _, err = run("models", "fetch", "nonsense", hub=hub, here=here)
    assert code == 2 and "There is no encoder named 'nonsense'" in err


def test_models_export_makes_a_folder_for_a_machine_without_a_network(hub, here):
    code, out, err = run("models", "export", NAME, "usb/small", hub=hub, here=here)
    assert (code, out) == (0, f"{NAME} → usb/small: 7 MB\n")
    assert err.endswith("vsearch: use it with --encoder local-dir:usb/small\n")
    assert sorted(path.name for path in (here / "usb/small").iterdir()) == ["open_clip_config.json", WEIGHTS]
    assert run("index", "photos", "--encoder", NAME, hub=hub, here=here)[0] == 0
    (here / "home").rename(here / "away")
    asked = len(hub.requests)
    code, out, _ = run("index", "photos", "--encoder", "local-dir:usb/small", hub=hub, here=here)
    assert code == 0 and out.startswith("0 added, 3 unchanged") and len(hub.requests) == asked
    code, out, _ = run("index", "photos", "--index", "new", "--encoder", "local-dir:usb/small", hub=hub, here=here)
    assert code == 0 and out.startswith("3 added") and len(hub.requests) == asked
    code, _, err = run("models", "export", "toy", "usb/toy", hub=hub, here=here)
    assert code == 2 and "toy is no model of open_clip" in err


def test_doctor_tells_where_models_come_from_and_fetches_none(hub, here):
    hub.add("timm/ViT-B-32-SigLIP2-256", {WEIGHTS: b"1.5 GB"})
    code, out, _ = run("doctor", hub=hub, here=here)
    assert code == 0 and "the hub answers; 1,542 MB are fetched once" in out
    assert re.search(rf"model hub +{hub.url}; into {here}/home/hub, [0-9,.]+ GB free", out)
    assert "known when its weights are here: vsearch models fetch openclip:ViT-B-32-SigLIP2-256/webli" in out
    assert [method for method, _ in hub.requests] == ["LIST"] and not hub.sent


# ---------------------------------------------------------------- what is shown, by a clock of our own


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def told(capsys: pytest.CaptureFixture[str], terminal: bool, *reports: tuple[float, int, int | None]) -> str:
    """What is written for reports of (seconds, bytes done, bytes in all)."""
    clock = Clock()
    shower = Downloads(terminal, clock)
    for seconds, done, total in reports:
        clock.now = 100 + seconds
        shower(done, total, WEIGHTS)
    shower.close()
    return capsys.readouterr().err


def test_elsewhere_a_line_comes_every_ten_seconds(capsys):
    steps = [(0.5 * n, 12_000_000 * n, 605_000_000) for n in range(50)] + [(25.0, 605_000_000, 605_000_000)]
    assert told(capsys, False, *steps).splitlines() == [
        f"vsearch: fetching {WEIGHTS}, 605 MB",
        f"vsearch: {WEIGHTS}: 240 of 605 MB, 39 %, 24.0 MB/s, 0:00:15 left",
        f"vsearch: {WEIGHTS}: 480 of 605 MB, 79 %, 24.0 MB/s, 0:00:05 left",
        f"vsearch: {WEIGHTS}: 605 MB fetched in 25.0 s",
    ]


def test_on_a_terminal_the_line_is_rewritten_ten_times_a_second(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    steps = [(0.01 * n, 11_000 * n, 3_000_000) for n in range(31)]
    shown = told(capsys, True, *steps).split("\r\x1b[K")
    assert shown == [
        "",
        f"{WEIGHTS}: 0.0 of 3.0 MB, 0 %",
        f"{WEIGHTS}: 0.1 of 3.0 MB, 3 %, 1.1 MB/s, 0:00:03 left",
        f"{WEIGHTS}: 0.2 of 3.0 MB, 7 %, 1.1 MB/s, 0:00:03 left",
        f"{WEIGHTS}: 0.3 of 3.0 MB, 11 %, 1.1 MB/s, 0:00:02 left",
        "",
    ]


def test_a_narrow_terminal_gets_a_line_that_fits(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    shown = told(capsys, True, (0, 0, 3_000_000), (1, 1_000_000, 3_000_000)).split("\r\x1b[K")
    assert max(map(len, shown[1:3])) == 29


def test_the_rate_counts_only_what_came_now(capsys):
    steps = [(0.0, 300_000_000, 600_000_000), (10.0, 310_000_000, 600_000_000), (300.0, 600_000_000, 600_000_000)]
    assert told(capsys, False, *steps).splitlines() == [
        f"vsearch: fetching {WEIGHTS}, 600 MB, 300 MB of it are here",
        f"vsearch: {WEIGHTS}: 310 of 600 MB, 51 %, 1.0 MB/s, 0:04:50 left",
        f"vsearch: {WEIGHTS}: 300 MB fetched in 300.0 s",
    ]


def test_what_is_not_finished_is_said_and_what_was_deleted_is_not(capsys):
    steps = [(0.0, 0, 600_000_000), (1.0, 200_000_000, 600_000_000)]
    stays = f"vsearch: {WEIGHTS}: 200 MB are here; the same command goes on from there"
    assert told(capsys, False, *steps).splitlines()[1:] == [stays]
    assert told(capsys, True, *steps).endswith(f"\r\x1b[K{stays}\n")
    assert told(capsys, False, *steps, (2.0, 0, 600_000_000)).splitlines()[1:] == []


def test_a_length_that_is_not_known_and_a_file_of_somebody_else(capsys):
    assert state(WEIGHTS, 5_000_000, None, 0, 2.0) == f"{WEIGHTS}: 5.0 MB, 2.5 MB/s"
    assert told(capsys, False, (0.0, 7, 7)) == ""
    assert [amount(4_200), amount(12_345_678), amount(605_000_000, 1_210_000_000)] == [
        "4.2 kB",
        "12.3 MB",
        "605 of 1,210 MB",
    ]
