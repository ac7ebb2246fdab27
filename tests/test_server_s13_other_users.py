"""S13: other users of the machine cannot look in: a token even on loopback, or a socket of one's own."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from serving import TOKEN

from vsearch.errors import QueryError
from vsearch.server import Settings, running

ASK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
CONNECT = "import os, socket, sys; os.setuid(65534); socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


def asked(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(os.fspath(path))
        sock.sendall(ASK)
        return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def test_a_socket_of_ones_own(gallery: Path, tmp_path: Path):
    place = tmp_path / "s"
    before = os.umask(0)
    try:
        with running([gallery], Settings(socket=place)):
            told = place.stat()
            assert stat.S_ISSOCK(told.st_mode) and stat.S_IMODE(told.st_mode) == 0o600
            assert asked(place).startswith(b"HTTP/1.1 200")
    finally:
        os.umask(before)
    assert not place.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
def test_another_user_cannot_connect(gallery: Path, tmp_path: Path):
    place = tmp_path / "s"
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    with running([gallery], Settings(socket=place)):
        run = [sys.executable, "-I", "-S", "-c", CONNECT, os.fspath(place)]
        stranger = subprocess.run(run, capture_output=True, text=True, cwd="/", check=False)
        assert "PermissionError" in stranger.stderr
        assert asked(place).startswith(b"HTTP/1.1 200")


def test_a_socket_that_was_left_behind_is_replaced(gallery: Path, tmp_path: Path):
    place = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(place))
    with running([gallery], Settings(socket=place)):
        assert asked(place).startswith(b"HTTP/1.1 200")


def test_what_is_there_is_not_replaced(gallery: Path, tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(QueryError, match="a file of that name"), running([gallery], Settings(socket=tmp_path / "file")):
        pass
    assert (tmp_path / "file").read_text() == "mine"
    with running([gallery], Settings(socket=tmp_path / "s")):
        with pytest.raises(QueryError, match="another server"), running([gallery], Settings(socket=tmp_path / "s")):
            pass
        assert asked(tmp_path / "s").startswith(b"HTTP/1.1 200")


def test_the_command_asks_for_a_token_on_loopback(gallery: Path):
    """The printed address has a token of its own each time; without it there is nothing to see."""
    seen = []
    for _ in range(2):
        run = [sys.executable, "-m", "vsearch", "serve", os.fspath(gallery), "--port", "0"]
        with subprocess.Popen(run, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr is not None
            line = server.stderr.readline()
            server.terminate()
            server.stderr.read()
        token = line.strip().partition("#token=")[2]
        assert len(token) == 43 and token != TOKEN
        seen.append(token)
    assert seen[0] != seen[1]
