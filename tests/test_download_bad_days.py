"""Hubs and networks that fail, lie or fall silent: an error that says what to type, or the right file after all."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.hub_client import Hurried, partials, use
from tests.loopback_hub import Fault, Hub
from vsearch.embed.download import transfer as transfer_module
from vsearch.embed.download.fetch import fetch_files, list_files
from vsearch.errors import EncoderUnavailable

REPO, WEIGHTS, CONFIG = "someone/model", "weights.safetensors", "config.json"
FILES = {WEIGHTS: os.urandom(4_000_000), CONFIG: b'{"a": 1}\n'}


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


# ---------------------------------------------------------------- hubs on bad days


def test_a_hub_that_is_out_of_order_is_asked_again(hub):
    hub.fail(WEIGHTS, Fault(503), times=2, method="HEAD")
    hub.fail(WEIGHTS, Fault(500))
    hub.fail(WEIGHTS, Fault(429, {"Retry-After": "7"}))
    hurried = Hurried()
    (path,) = fetch_files(REPO, [WEIGHTS], patience=hurried.patience)
    assert path.read_bytes() == FILES[WEIGHTS]
    assert hurried.waited == [0, 1, 0, 7]


def test_a_hub_that_wants_to_be_left_alone_for_long_is(hub):
    hub.fail(WEIGHTS, Fault(429, {"Retry-After": "3600"}))
    hurried = Hurried()
    with pytest.raises(EncoderUnavailable, match=r"fewer requests \(HTTP 429\)\. Type the same again in 3600 s"):
        fetch_files(REPO, [WEIGHTS], patience=hurried.patience)
    assert hurried.waited == []


def test_no_new_byte_many_times_is_the_end_and_what_came_stays(hub, cache):
    hub.fail(WEIGHTS, Fault(cut=300_000))
    hub.fail(WEIGHTS, Fault(cut=10), times=9)
    hurried = Hurried()
    with pytest.raises(EncoderUnavailable, match="the connection was cut, 4 times in a row. The same command goes on"):
        fetch_files(REPO, [WEIGHTS], patience=hurried.patience)
    assert partials(cache) == [300_030] and hub.asked("GET", WEIGHTS) == 4
    assert hurried.waited == [0, 1, 2]


REFUSALS = {
    "gated": (
        "HEAD",
        Fault(403),
        ["does not let everybody have it (HTTP 403)", f"/{REPO}, then log in with `hf auth login`", "HF_TOKEN"],
    ),
    "bad request": ("HEAD", Fault(400), ["answers HTTP 400", "HF_ENDPOINT"]),
    "proxy's login": ("HEAD", Fault(407), ["the proxy asks who you are", "HTTPS_PROXY=http://USER:PASSWORD@"]),
    "token out of date": (
        "HEAD",
        Fault(401, {"X-Error-Message": "Invalid credentials in Authorization header"}),
        ["does not know your token", "HF_TOKEN"],
    ),
    "gone while it came": ("GET", Fault(404), ["no repository of that name"]),
    "shorter than it says": ("GET", Fault(416), ["fewer bytes than it announces"]),
    "always out of order": ("HEAD", Fault(502), ["out of order (HTTP 502), 4 times in a row", "later"]),
    "a page of somebody else": ("HEAD", Fault(200), ["is no model hub", "HF_ENDPOINT", "HTTPS_PROXY"]),
    "a checksum that leads elsewhere": ("HEAD", Fault(etag="../../evil"), ["is no model hub"]),
    "too long": ("GET", Fault(length=4_000_009, endless=True), ["more than the 4,000,000 bytes"]),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_the_hub_refuses_is_an_error_that_says_what_to_type(hub, cache, kind):
    method, fault, words = REFUSALS[kind]
    hub.fail(WEIGHTS, fault, times=9, method=method)
    with pytest.raises(EncoderUnavailable) as refused:
        fetch_files(REPO, [WEIGHTS], patience=Hurried().patience)
    for word in [WEIGHTS, REPO, hub.url, "--encoder mini", *words]:
        assert word in str(refused.value)
    assert sum(partials(cache)) == 0


def test_repositories_and_files_that_are_not_there(hub):
    with pytest.raises(EncoderUnavailable, match="no repository of that name, or shows it to some people only"):
        fetch_files("someone/else", [WEIGHTS])
    with pytest.raises(EncoderUnavailable, match="no repository of that name, or shows it to some people only"):
        list_files("someone/else")
    with pytest.raises(EncoderUnavailable, match="no file of that name"):
        fetch_files(REPO, ["other.bin"])
    assert list_files(REPO) == set(FILES)


def test_a_gated_model_comes_with_a_token_which_stays_with_the_hub(hub, monkeypatch):
    hub.token = "hf_secret"
    with pytest.raises(EncoderUnavailable, match="does not let everybody have it.*hf auth login"):
        fetch_files(REPO, [WEIGHTS])
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert fetch_files(REPO, [WEIGHTS, CONFIG])[0].read_bytes() == FILES[WEIGHTS]
    assert {token for host, token in hub.tokens if host == "localhost"} == {""}


@pytest.mark.parametrize("length", [None, -1])
def test_a_body_without_an_end_is_given_up(hub, cache, length, monkeypatch):
    monkeypatch.setattr(transfer_module, "MOST_UNANNOUNCED", 1_000_000)
    hub.fail(CONFIG, Fault(length=length), method="HEAD")
    hub.fail(CONFIG, Fault(endless=True))
    with pytest.raises(EncoderUnavailable, match="sends more than the"):
        fetch_files(REPO, [CONFIG], patience=Hurried().patience)
    assert sum(partials(cache)) == 0


def test_a_file_without_a_length_comes_whole(hub):
    hub.fail(CONFIG, Fault(length=-1), method="HEAD")
    assert fetch_files(REPO, [CONFIG])[0].read_bytes() == FILES[CONFIG]


def test_a_hub_that_sends_less_than_it_announces(hub, cache):
    hub.fail(WEIGHTS, Fault(length=5_000_000), method="HEAD")
    with pytest.raises(EncoderUnavailable, match="fewer bytes than it announces"):
        fetch_files(REPO, [WEIGHTS], patience=Hurried().patience)


def test_a_hub_that_knows_no_ranges_sends_all_again_and_the_file_is_right(hub):
    hub.fail(WEIGHTS, Fault(cut=1_000_000))
    hub.fail(WEIGHTS, Fault(deaf=True, cut=500_000))
    hub.fail(WEIGHTS, Fault(deaf=True))
    (path,) = fetch_files(REPO, [WEIGHTS], patience=Hurried().patience)
    assert path.read_bytes() == FILES[WEIGHTS]


def test_other_bytes_than_those_that_were_asked_for_are_refused(hub, cache):
    hub.fail(WEIGHTS, Fault(cut=1_000_000))
    hub.fail(WEIGHTS, Fault(shifted=True))
    with pytest.raises(EncoderUnavailable, match="from 1,000,000 on and sends others"):
        fetch_files(REPO, [WEIGHTS], patience=Hurried().patience)
    assert partials(cache) == [1_000_000]


@pytest.mark.parametrize(("method", "hold"), [("HEAD", -1), ("GET", -1), ("GET", 10)])
def test_a_hub_that_falls_silent_is_not_waited_for(hub, method, hold):
    hub.fail(WEIGHTS, Fault(hold=hold), times=9, method=method)
    with pytest.raises(EncoderUnavailable, match=r"sent nothing for 0\.5 s"):
        fetch_files(REPO, [WEIGHTS], patience=Hurried(1, stall=0.5).patience)


# ---------------------------------------------------------------- networks on bad days


def test_nobody_at_that_address(cache, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    use(address, cache, monkeypatch)
    with pytest.raises(EncoderUnavailable, match=f"from {address}: {address} cannot be reached.*HTTPS_PROXY"):
        fetch_files(REPO, [WEIGHTS], patience=Hurried().patience)


def test_a_name_that_nobody_knows(cache, monkeypatch):
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    use("http://hub.invalid", cache, monkeypatch)
    hurried = Hurried()
    with pytest.raises(EncoderUnavailable, match="the name hub.invalid cannot be resolved. Is there a network?"):
        fetch_files(REPO, [WEIGHTS], patience=hurried.patience)
    assert hurried.waited == [0]  # once more at once, and no longer


def test_a_network_that_is_lost_on_the_way_is_waited_for(hub, monkeypatch):
    """The address of the second request cannot be found; that of the third can."""
    resolve, lost = socket.getaddrinfo, [True]

    def sometimes(*told, **named):
        if hub.sent[WEIGHTS] and lost.pop():
            lost.append(False)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if not lost:
            lost.append(False)
        return resolve(*told, **named)

    monkeypatch.setattr(socket, "getaddrinfo", sometimes)
    hub.fail(WEIGHTS, Fault(cut=1_000_000))
    hurried = Hurried()
    (path,) = fetch_files(REPO, [WEIGHTS], patience=hurried.patience)
    assert path.read_bytes() == FILES[WEIGHTS] and hurried.waited == [0, 1]


def test_tls_with_a_server_that_speaks_none(hub, monkeypatch, cache):
    use(hub.url.replace("http:", "https:"), cache, monkeypatch)
    with pytest.raises(EncoderUnavailable, match="cannot be secured.*SSL_CERT_FILE"):
        fetch_files(REPO, [WEIGHTS], patience=Hurried().patience)


@pytest.mark.parametrize("variable", ["VSEARCH_OFFLINE", "HF_HUB_OFFLINE"])
def test_no_network_by_request(hub, variable, monkeypatch):
    fetch_files(REPO, [CONFIG])
    asked = len(hub.requests)
    if variable == "VSEARCH_OFFLINE":
        monkeypatch.setenv(variable, "1")
    else:
        monkeypatch.setattr(constants, variable, True)  # which the hub's client reads from there only once
    assert fetch_files(REPO, [CONFIG])[0].read_bytes() == FILES[CONFIG]
    with pytest.raises(EncoderUnavailable, match=f"{WEIGHTS} of {REPO}: not on this machine.*switched off by request"):
        fetch_files(REPO, [CONFIG, WEIGHTS])
    with pytest.raises(EncoderUnavailable, match="switched off by request"):
        list_files(REPO)
    assert len(hub.requests) == asked
