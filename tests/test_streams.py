"""Standard streams that are closed, full, gone or a terminal, with the real program."""

import itertools
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from forked import environment
from PIL import Image

import vsearch
from vsearch.store.batch import Batch
from vsearch.types import Failure

PROGRAM = [sys.executable, "-m", "vsearch"]
CLOSED = [combination for size in (1, 2, 3) for combination in itertools.combinations((0, 1, 2), size)]
ESCAPES = "\x1b[5;7mred\x07\x9b2J\x1b]0;title\x07\u202egpj"  # blinking, BEL, the CSI of 8 bits, a title, right to left
# What tables and bars are drawn with: colours (nothing blinks), links, the cursor that goes and comes back.
DRAWN = re.compile(r"\x1b\[(?!5)[0-9;]*m|\x1b\]8;[^;\x07]*;[^\x1b\x07]*\x1b\\|\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A")
CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\r\n"] + ["\u202e"]


def shell(line: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """A line of sh, in which ``"$@"`` is the program."""
    return subprocess.run(
        ["sh", "-c", line, "sh", *PROGRAM], cwd=cwd, capture_output=True, env=environment(), timeout=120
    )


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "p").mkdir()
    for name in ("red", "blue"):
        Image.new("RGB", (20, 10), name).save(tmp_path / f"p/{name}.png")
    return tmp_path


# ---------------------------------------------------------------- closed, full, gone


@pytest.mark.parametrize("closed", CLOSED, ids=lambda closed: "".join(map(str, closed)))
def test_with_closed_streams_pictures_are_indexed_all_the_same(here, closed):
    """The results of the command have nowhere to go when standard output is closed, as in ``cp -v a b >&-``."""
    redirections = " ".join({0: "<&-", 1: ">&-", 2: "2>&-"}[fd] for fd in closed)
    done = shell(f'"$@" index p --encoder toy {redirections}', here)
    assert done.returncode == (2 if 1 in closed else 0)
    assert done.stdout == b"" if 1 in closed else done.stdout.startswith(b"2 added")
    assert (b"output cannot be written: Bad file descriptor" in done.stderr) == (1 in closed and 2 not in closed)
    assert b"Traceback" not in done.stderr
    with vsearch.open(here / "p.vsearch") as index:
        assert len(index) == 2 and index.check().problems == ()


def test_commands_that_only_print_fail_on_a_closed_output_and_say_so(here):
    shell('"$@" index p --encoder toy', here)
    for command in ("query red", "info", "errors --json", "--help", "index --help", "--version"):
        done = shell(f'"$@" {command} >&-', here)
        quiet = command == "errors --json"  # there is nothing to be written
        assert (done.returncode, done.stderr == b"") == ((0, True) if quiet else (2, False)), command
        assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr
    assert shell('"$@" query red 2>&-', here).returncode == 0
    done = shell('"$@" index --files-from - --index x --encoder toy <&-', here)
    assert done.returncode == 2 and b"the list of files cannot be read: Bad file descriptor" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_full_streams(here):
    assert shell('"$@" index p --encoder toy 2>/dev/full', here).returncode == 0
    assert len(shell('"$@" query red --paths 2>/dev/full', here).stdout.splitlines()) == 2
    for command in ("query red", "--help", "--version", "query --help"):
        done = shell(f'"$@" {command} >/dev/full', here)
        assert done.returncode == 2 and b"No space left on device" in done.stderr, command
        assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr
    assert shell('"$@" nosuchcommand >/dev/full 2>&1', here).returncode == 2


def test_readers_that_have_gone(here):
    """Nobody reads what is said, or the results: neither is an error, as in ``| head -1``."""
    gone = subprocess.run(
        [*PROGRAM, "index", "p", "--encoder", "toy"], cwd=here, stderr=unread(), capture_output=False, env=environment()
    )
    assert gone.returncode == 0
    with vsearch.open(here / "p.vsearch") as index:
        assert len(index) == 2
    for command in (["query", "red"], ["--help"], ["query", "--help"], ["--version"]):
        done = subprocess.run(
            [*PROGRAM, *command], cwd=here, stdout=unread(), stderr=subprocess.PIPE, env=environment()
        )
        assert (done.returncode, done.stderr) == (0, b""), command


def unread() -> int:
    """The writing end of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


# ---------------------------------------------------------------- terminals


def on_terminal(*words: str | bytes, cwd: Path) -> tuple[int, str]:
    """Exit code, and all that the program writes to a terminal."""
    outside, inside = pty.openpty()
    env = environment(COLUMNS="200", LINES="24", TERM="xterm", PYTHONIOENCODING="utf-8")
    child = subprocess.Popen(
        [*PROGRAM, *words], cwd=cwd, stdin=inside, stdout=inside, stderr=inside, env=env, start_new_session=True
    )
    os.close(inside)
    pieces = []
    try:
        while piece := os.read(outside, 4096):
            pieces.append(piece)
    except OSError:  # the terminal closes with its last writer
        pass
    os.close(outside)
    return child.wait(60), b"".join(pieces).decode()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index whose names, captions, columns, tags and failures have everything that a terminal obeys."""
    here = tmp_path_factory.mktemp("hostile")
    folder = here / ("p" + ESCAPES)
    folder.mkdir()
    for name in ("red", "blue"):
        Image.new("RGB", (20, 10), name).save(folder / f"{name}{ESCAPES}.png")
        Image.new("RGB", (20, 10), name).save(folder / f"{name} copy{ESCAPES}.png")
        (folder / f"{name}{ESCAPES}.txt").write_text(f"said {ESCAPES}\nand \x1b[5m more")
    with vsearch.create(here / "x.vsearch", encoder="toy") as index:
        assert index.add(vsearch.folder(folder)).added == 4
        broken = os.fsencode(folder / f"broken{ESCAPES}.jpg")
        index.store.commit(Batch(failures=[Failure(broken, "decode", f"damaged {ESCAPES}")]))
    return here


COMMANDS = [
    ["query", "red"],
    ["query", "red", "--json"],
    ["query", "red", "--csv"],
    ["query", "red", "--paths"],
    ["query", "red", "--print0"],
    ["query", "said", "--target", "captions"],
    ["query", "red" + ESCAPES],
    ["query", "--image", f"none{ESCAPES}.png"],
    ["query", "red", "--where", f"x{ESCAPES} = 1"],
    ["query", "red", f"--{ESCAPES}"],
    ["query", "red", "--count", ESCAPES],
    ["query", "red", "--index", f"none{ESCAPES}.vsearch"],
    ["query" + ESCAPES],
    ["errors"],
    ["errors", "--json"],
    ["info"],
    ["dups", "--identical"],
    ["dups", "--identical", "--json"],
    ["describe", "--id", "0", "-k", "2"],
    ["describe", "--id", "0", "-k", "2", "--json"],
    ["classify", "--labels", f"a{ESCAPES},b"],
    ["audit", "red", "--by", f"a{ESCAPES},b", "-k", "2"],
    ["explain", "red" + ESCAPES, "--id", "0"],
    ["spaces", f"none{ESCAPES}"],
    ["index", f"none{ESCAPES}"],
    ["backup", f"copy{ESCAPES}"],
    ["restore", "photos.vsearch", f"restored{ESCAPES}"],
    ["fetch", f"none{ESCAPES}", "x"],
    ["import", "--vectors", f"none{ESCAPES}.npy"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:3]).encode("unicode_escape").decode())
def test_on_a_terminal_nothing_of_others_is_obeyed(hostile, words):
    code, told = on_terminal(*words, cwd=hostile)
    assert code in (0, 1, 2), told
    assert "Traceback" not in told
    assert [control for control in CONTROLS if control in DRAWN.sub("", told)] == []


@pytest.mark.parametrize("words", [["query", "red", "--csv"], ["query", "red", "--paths"], ["query", "red", "-0"]])
def test_into_a_pipe_bytes_are_what_they_are(hostile, words):
    done = subprocess.run([*PROGRAM, *words], cwd=hostile, capture_output=True, env=environment())
    assert done.returncode == 0 and ESCAPES.encode() in done.stdout


def test_json_on_a_terminal_has_the_values_that_it_has_in_a_pipe(hostile):
    piped = subprocess.run([*PROGRAM, "query", "red", "--json"], cwd=hostile, capture_output=True, env=environment())
    _, told = on_terminal("query", "red", "--json", cwd=hostile)
    assert [*map(json.loads, told.splitlines())] == [*map(json.loads, piped.stdout.splitlines())]
    assert ESCAPES in json.loads(told.splitlines()[0])["path"]
