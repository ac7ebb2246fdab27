"""S15: the token is on no command line and in no environment, where other users of the machine could read it."""

import os
import re
import select
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.request import urlopen

import pytest

BROWSER = """#!/bin/sh
exec 2> /dev/null
printf '%s\\n' "$@" > "$RECORD/arguments"
if [ -f "$1" ]; then
    stat -c '%a %u' -- "$1" > "$RECORD/mode"
    cat -- "$1" > "$RECORD/door"
fi
echo opened > "$RECORD/opened"
read line < "$RECORD/leave"
"""


def rest_of(process: subprocess.Popen[str], address: str) -> str:
    """What a server prints from its address on, until it is there for its clients and is ended."""
    with urlopen(address, timeout=30):
        process.terminate()
    return process.communicate(timeout=30)[1]


@dataclass
class Opened:
    """A server whose page a browser has opened and not closed yet."""

    process: subprocess.Popen[str]
    record: Path
    address: str

    def read(self, name: str) -> str:
        return (self.record / name).read_text(encoding="utf-8").strip()


def program(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


@contextmanager
def opened(gallery: Path, place: Path, *, default: str = "", runtime: Path | None = None) -> Iterator[Opened]:
    """``serve --open`` of the real program.  default: desktop file of the default browser."""
    (place / "bin").mkdir()
    (place / "tmp").mkdir()
    program(place / "bin" / "xdg-open", BROWSER)
    program(place / "bin" / "xdg-settings", f"#!/bin/sh\necho {default}\n")
    for name in ("opened", "leave"):
        os.mkfifo(place / name)
    env = {**os.environ, "PATH": f"{place / 'bin'}:/usr/bin:/bin", "RECORD": str(place), "TMPDIR": str(place / "tmp")}
    env |= {"XDG_RUNTIME_DIR": str(runtime or place / "nowhere")}
    command = [sys.executable, "-m", "vsearch", "serve", str(gallery), "--port", "0", "--open"]
    waiting = os.open(place / "opened", os.O_RDONLY | os.O_NONBLOCK)
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            match = re.search(r"serving at (http://\S+)", process.stderr.readline())
            assert match is not None
            assert select.select([waiting], [], [], 30)[0], "no browser was started"
            yield Opened(process, place, match[1])
        finally:
            with open(place / "leave", "w"):  # the browser ends
                pass
            process.terminate()
            os.close(waiting)


def processes_that_show(secret: str) -> list[str]:
    """All processes of the machine with a text on their command lines or in their environments (proc(5))."""
    shown = []
    for folder in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                if secret.encode() in (folder / name).read_bytes():
                    shown.append(f"{folder.name}/{name}")
            except OSError:  # it has ended
                continue
    return shown


class Links(HTMLParser):
    """Where a page leads by itself, and what it tells the next page of itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.leads: list[str] = []
        self.referrer: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "meta" and given.get("http-equiv") == "refresh":
            self.leads.append((given["content"] or "").partition("url=")[2])
        if tag == "meta" and given.get("name") == "referrer":
            self.referrer = given["content"]


@pytest.mark.parametrize(("mode", "kept"), [(0o700, True), (0o755, False), (None, False)])
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_the_browser_gets_a_file_of_its_user(
    gallery: Path, tmp_path: Path, mode: int | None, kept: bool, end: signal.Signals
):
    """It leads to the address; it lies in a folder of the user alone, and is gone when the server is."""
    runtime = tmp_path / "runtime"
    if mode is not None:
        runtime.mkdir()
        runtime.chmod(mode)
    with opened(gallery, tmp_path, runtime=runtime) as page:
        token = page.address.partition("#token=")[2]
        assert len(token) == 43
        assert processes_that_show(token) == []
        door = Path(page.read("arguments"))
        assert page.read("mode") == f"600 {os.getuid()}"
        assert stat.S_IMODE(door.parent.stat().st_mode) == 0o700
        assert (door.parent == runtime) == kept and (tmp_path / "tmp" in door.parents) != kept
        links = Links(page.read("door"))
        assert (links.leads, links.referrer) == ([page.address], "no-referrer")
        page.process.send_signal(end)
        assert page.process.wait(30) == 0
    assert not door.exists() and list((tmp_path / "tmp").iterdir()) == []


def test_a_browser_that_can_read_no_file_gets_the_address_without_the_token(gallery: Path, tmp_path: Path):
    with opened(gallery, tmp_path, default="firefox_firefox.desktop") as page:
        assert page.read("arguments") == page.address.partition("#")[0]
        assert processes_that_show(page.address.partition("#token=")[2]) == []
        assert "open the address above instead" in rest_of(page.process, page.address)


def test_a_machine_without_a_browser_says_so(gallery: Path, tmp_path: Path):
    env = {**os.environ, "PATH": str(tmp_path), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "vsearch", "serve", str(gallery), "--port", "0", "--open"]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = process.stderr.readline().split()[-1]
        assert "no browser could be started; open the address above" in rest_of(process, address)


@pytest.mark.parametrize("name", ["cmdline", "environ"])
def test_a_token_is_seen_where_it_is_shown(name: str):
    """The search of this test finds what it must not find elsewhere."""
    secret = f"planted-{os.getpid()}"
    words, env = ([secret], {}) if name == "cmdline" else ([], {"TOKEN": secret})
    command = ["/bin/sh", "-c", "echo; read line", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as shown:
        assert shown.stdout is not None and shown.stdout.readline() == b"\n"  # it runs
        assert processes_that_show(secret) == [f"{shown.pid}/{name}"]
        shown.communicate()
