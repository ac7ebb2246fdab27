"""Downloads in processes of their own: killed, interrupted, two at once, behind a proxy, on a full disk."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback_hub import Fault, Hub

REPO, WEIGHTS = "someone/model", "weights.safetensors"
CONTENT = os.urandom(6_000_000)
SIZE = len(CONTENT)
MOST = 1.05 * SIZE  # bytes that may leave the hub

FETCH = """
import sys
from vsearch.embed.download.fetch import fetch_files
from vsearch.errors import EncoderError

def report(done, total, name):
    print(done, flush=True)

try:
    (path,) = fetch_files("someone/model", ["weights.safetensors"], report=report)
except EncoderError as error:
    sys.exit(f"{type(error).__name__}: {error}")
print(path)
"""
LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))\n" + FETCH


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    hub.add(REPO, {WEIGHTS: CONTENT})
    with hub.running():
        yield hub


def start(hub: Hub, home: Path, code: str = FETCH, **more: str) -> subprocess.Popen[str]:
    """A process that fetches the weights, and prints how far it is and then their path."""
    env = {**hub.environment(home), **more}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(process: subprocess.Popen[str], done: int) -> None:
    """Read what a process prints until it has written so many bytes."""
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= done:
            return
    raise AssertionError(process.communicate()[1])


def whole(process: subprocess.Popen[str]) -> bool:
    """Whether a process ends well, with the right file."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return Path(out.splitlines()[-1]).read_bytes() == CONTENT


def test_cut_three_times_and_killed_the_file_is_right_and_no_byte_comes_twice(hub, tmp_path):
    for after in (1_000_000, 500_000, 1_500_000):
        hub.fail(WEIGHTS, Fault(cut=after))
    hub.fail(WEIGHTS, Fault(hold=1_200_000, cut=1_200_000))
    first = start(hub, tmp_path)
    wait_for(first, 4_200_000)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert first.returncode == -signal.SIGKILL
    hub.go.set()
    assert whole(start(hub, tmp_path))
    assert hub.sent[WEIGHTS] == SIZE <= MOST and hub.asked("GET", WEIGHTS) == 5
    assert not list(tmp_path.rglob("*.incomplete"))


def test_ctrl_c_in_a_real_process(hub, tmp_path):
    hub.fail(WEIGHTS, Fault(hold=2_000_000, cut=2_000_000))
    first = start(hub, tmp_path)
    wait_for(first, 2_000_000)
    first.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in first.communicate()[1]
    hub.go.set()
    assert whole(start(hub, tmp_path))
    assert hub.sent[WEIGHTS] == SIZE


def test_two_processes_fetch_once_and_the_one_that_waits_tells_how_far_the_other_is(hub, tmp_path):
    hub.fail(WEIGHTS, Fault(hold=2_000_000))
    first = start(hub, tmp_path)
    wait_for(first, 2_000_000)
    second = start(hub, tmp_path)
    wait_for(second, 2_000_000)
    hub.go.set()
    assert whole(first) and whole(second)
    assert hub.sent[WEIGHTS] == SIZE and hub.asked("GET", WEIGHTS) == 1


def test_a_process_that_waits_goes_on_where_one_that_was_killed_stopped(hub, tmp_path):
    hub.fail(WEIGHTS, Fault(hold=2_000_000, cut=2_000_000))
    first = start(hub, tmp_path)
    wait_for(first, 2_000_000)
    second = start(hub, tmp_path)
    wait_for(second, 2_000_000)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert whole(second)
    assert hub.sent[WEIGHTS] == SIZE


def test_the_cache_is_where_the_variables_say(hub, tmp_path):
    assert whole(start(hub, tmp_path / "home", HF_HUB_CACHE=str(tmp_path / "elsewhere")))
    assert not (tmp_path / "home" / "hub").exists() and list((tmp_path / "elsewhere").rglob(WEIGHTS))


def refused(process: subprocess.Popen[str], *words: str) -> None:
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1 and "Traceback" not in err, err
    for word in words:
        assert re.search(word, err), err


def test_a_proxy_that_is_not_there_is_named_without_its_password(hub, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    away = start(hub, tmp_path, HTTP_PROXY=f"http://me:secret@127.0.0.1:{port}")
    refused(away, rf"the proxy 127\.0\.0\.1:{port} does not let it through", "HTTPS_PROXY", "NO_PROXY", "^(?!.*secret)")
    assert not hub.requests
    assert whole(start(hub, tmp_path, HTTP_PROXY=f"http://127.0.0.1:{port}", NO_PROXY="127.0.0.1,localhost"))


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes a certificate with openssl")
def test_a_certificate_of_nobody_is_refused_until_it_is_named(tmp_path):
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    hub = Hub(context)
    hub.add(REPO, {WEIGHTS: CONTENT})
    with hub.running():
        refused(start(hub, tmp_path), r"cannot be secured \(TLS: self.signed certificate\)", "SSL_CERT_FILE")
        assert whole(start(hub, tmp_path, SSL_CERT_FILE=str(certificate)))


def test_a_disk_that_is_full_on_the_way_is_told_and_the_next_run_goes_on(hub, tmp_path):
    refused(
        start(hub, tmp_path, LIMITED), "^EncoderError: The disk with .* is full", "the same command goes on", "HF_HOME"
    )
    (partial,) = tmp_path.rglob("*.incomplete")
    assert partial.stat().st_size == 3_000_000
    hub.sent.clear()  # the process had ended before it had read all that was sent
    assert whole(start(hub, tmp_path))
    assert hub.sent[WEIGHTS] == SIZE - 3_000_000


def mounted(place: Path, options: str) -> Iterator[Path]:
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a disk needs root")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path / "disk", "size=8m")


@pytest.fixture
def fixed_disk(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path / "disk", "ro")


def test_a_real_disk_without_room(hub, small_disk):
    (small_disk / "ballast").write_bytes(bytes(5_000_000))
    refused(start(hub, small_disk), f"^EncoderError: {REPO} needs 6 MB more, and the disk with .* has 3 MB free")
    assert not hub.sent
    (small_disk / "ballast").unlink()
    hub.fail(WEIGHTS, Fault(hold=1_000_000))
    process = start(hub, small_disk)
    wait_for(process, 1_000_000)
    (small_disk / "ballast").write_bytes(bytes(4_000_000))
    hub.go.set()
    refused(process, "^EncoderError: The disk with .* is full")
    (small_disk / "ballast").unlink()
    assert whole(start(hub, small_disk))


def test_a_real_disk_that_cannot_be_written(hub, fixed_disk):
    refused(
        start(hub, fixed_disk), r"^EncoderError: The cache .* cannot be written \(Read-only file system\)", "HF_HOME"
    )
