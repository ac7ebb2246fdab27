"""What keeps a file from coming, in words: what happened, whether it is worth another try, what to type next.

The hub's client speaks through requests, httpx or httpx2, by its version.  All of them chain their errors to those of
Python, which are looked for here; otherwise the name of the error tells.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from vsearch.embed import hub
from vsearch.errors import EncoderError

ADVICE = "Use `--encoder mini`, which needs no network, or a folder with the model: `--encoder local-dir:PATH`"
LOGIN = "log in with `hf auth login`, or set HF_TOKEN"
MIRROR = "The variable HF_ENDPOINT names another hub, HTTPS_PROXY a proxy"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class HubError(Exception):
    """The hub, its client or the network between failed; what the client raised is the cause."""


class HubAnswerError(HubError):
    """The hub's answer is not what a hub answers; another try would not help."""


class CutOff(HubError):
    """The body ended before its time."""


@contextmanager
def client_errors() -> Iterator[None]:
    """Turn whatever the hub's client raises into HubError."""
    try:
        yield
    except HubError:
        raise
    except Exception as error:
        raise HubError(str(error)) from error


class Again(Enum):
    """When another try is worth while.  UNDERWAY: when the hub has answered before, otherwise only once."""

    NEVER = 0
    UNDERWAY = 1
    ALWAYS = 2


@dataclass(frozen=True)
class Failure:
    """what: happened.  next: to type or to look at.  wait: seconds that the hub wants to be left alone."""

    what: str
    next: str
    again: Again = Again.NEVER
    wait: float | None = None


def failure_of(error: BaseException, address: str, repo: str, seconds: float) -> Failure:
    """Say what an error of the hub's client means.

    address: the hub's.  repo: what was asked for.  seconds: after which a connection counts as cut.
    """
    chain = list(_chain(error))
    for link in chain:
        response = getattr(link, "response", None)
        if getattr(response, "status_code", None) is not None:
            return _answered(response, f"{address}/{repo}")
    for found in (_unresolved(chain, address), _insecure(chain), _unreached(chain, address), _broken(chain, seconds)):
        if found is not None:
            return found
    return Failure(f"{str(error).strip() or type(error).__name__}", f"{MIRROR}.")


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _answered(response: Any, page: str) -> Failure:
    """For an answer that says no.  page: of the repository."""
    status, code = int(response.status_code), str(response.headers.get("X-Error-Code", ""))
    if status in (408, 429) or status >= 500:
        wait = str(response.headers.get("Retry-After", ""))
        what = "the hub wants fewer requests" if status == 429 else "the hub is out of order"
        later = f"in {wait} s" if wait.isdecimal() else "later"
        asked = float(wait) if wait.isdecimal() else None
        return Failure(f"{what} (HTTP {status})", f"Type the same again {later}.", Again.ALWAYS, asked)
    if status in (401, 403):
        return _refused(response, code, page)
    if status == 404 and code == "EntryNotFound":
        return Failure("the repository has no file of that name", "`vsearch models` lists encoders worth having.")
    if status == 404:
        return Failure("the hub has no repository of that name", "Check it; `vsearch models` lists some.")
    if status == 407:
        return Failure("the proxy asks who you are", "Set HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT.")
    if status == 416:
        return Failure("the hub has fewer bytes than it announces", "Type the same again later.")
    return Failure(f"the hub answers HTTP {status}", f"{MIRROR}.")


def _refused(response: Any, code: str, page: str) -> Failure:
    if "Invalid credentials" in str(response.headers.get("X-Error-Message", "")):
        return Failure("the hub does not know your token", f"Is HF_TOKEN out of date? Or {LOGIN}.")
    if code == "RepoNotFound":
        what = "the hub has no repository of that name, or shows it to some people only"
        return Failure(what, f"Check the name; for a private one {LOGIN}.")
    what = f"the hub does not let everybody have it (HTTP {response.status_code})"
    return Failure(what, f"Ask for access at {page}, then {LOGIN}.")


def _unresolved(chain: list[BaseException], address: str) -> Failure | None:
    if not any(isinstance(link, socket.gaierror) for link in chain):
        return None
    proxy = _proxy(address)
    host = urlsplit(proxy or address).hostname
    return Failure(f"the name {host} cannot be resolved", f"Is there a network? {MIRROR}.", Again.UNDERWAY)


def _insecure(chain: list[BaseException]) -> Failure | None:
    """For TLS that cannot begin; a connection that ends early is another matter."""
    if not {"ConnectError", "MaxRetryError"} & _names(chain):
        return None
    for link in chain:
        if isinstance(link, ssl.SSLError) and not isinstance(link, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            why = getattr(link, "verify_message", "") or link.reason or str(link)
            return Failure(
                f"the connection cannot be secured (TLS: {why})",
                "If your network has certificates of its own, SSL_CERT_FILE names their file.",
            )
    return None


def _unreached(chain: list[BaseException], address: str) -> Failure | None:
    proxy = _proxy(address)
    refused = any(isinstance(link, ConnectionRefusedError) for link in chain)
    if proxy and (refused or "ProxyError" in _names(chain)):
        why = next((str(link) for link in reversed(chain) if str(link)), "")
        return Failure(
            f"the proxy {_without_login(proxy)} does not let it through ({why})",
            "HTTPS_PROXY names the proxy, NO_PROXY what goes without.",
            Again.UNDERWAY,
        )
    if refused or {"ConnectError", "NewConnectionError", "ConnectTimeout", "ConnectTimeoutError"} & _names(chain):
        return Failure(f"{address} cannot be reached", f"Is there a network? {MIRROR}.", Again.UNDERWAY)
    return None


def _broken(chain: list[BaseException], seconds: float) -> Failure | None:
    """For a connection that was there."""
    for link in chain:
        if isinstance(link, HubAnswerError):
            return Failure(str(link), f"{MIRROR}.")
    if any(isinstance(link, TimeoutError) for link in chain) or any("Timeout" in name for name in _names(chain)):
        what = f"the hub sent nothing for {seconds:g} s"
    elif any(isinstance(link, CutOff | ConnectionError | ssl.SSLError) for link in chain) or _names(chain) & _CUTS:
        what = "the connection was cut"
    else:
        return None
    return Failure(what, "The same command goes on where it stopped.", Again.UNDERWAY)


_CUTS = {
    *("RemoteProtocolError", "ReadError", "WriteError", "CloseError", "NetworkError"),
    *("ChunkedEncodingError", "ProtocolError", "IncompleteRead", "InvalidChunkLength"),
}


def _names(chain: list[BaseException]) -> set[str]:
    return {type(link).__name__ for link in chain}


def _proxy(address: str) -> str | None:
    """The proxy that requests to the hub go through."""
    parts = urlsplit(address)
    proxies = getproxies()
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    return proxies.get(parts.scheme) or proxies.get("all")


def _without_login(proxy: str) -> str:
    return proxy.rpartition("@")[2] if "@" in proxy else proxy


@contextmanager
def disk_errors() -> Iterator[None]:
    """Translate errors of the disk that the cache is on; time-outs of locks pass.  Raises EncoderError."""
    try:
        yield
    except TimeoutError:
        raise
    except OSError as error:
        cache, move = hub.cache_folder(), "HF_HOME=FOLDER moves the cache elsewhere"
        if error.errno in _FULL:
            raise EncoderError(
                f"The disk with {cache} is full. What is fetched stays there; make room, and the same command goes on. "
                f"{move}."
            ) from error
        raise EncoderError(f"The cache {cache} cannot be written ({error.strerror or error}). {move}.") from error
