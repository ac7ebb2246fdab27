"""A model hub on this machine, which counts the bytes that leave it and does on request what real ones do on bad days.

It answers what huggingface_hub asks: a repository's list of files, HEAD and GET of a file with ranges, large files by
way of a redirect to another host.  Nothing waits for a clock: what holds an answer back is an event.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import ssl
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LARGE = 100_000  # bytes from which on a file is kept as a large one, as Git LFS does
BLOCK = 1 << 16
# A test that holds an answer back may be on a busy machine: nobody gives up for that.
QUIET = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "100"}


@dataclass
class Fault:
    """What goes wrong with one answer.

    status, headers: instead of the file.  cut: the connection ends after so many bytes.  hold: after so many bytes
    nothing comes until ``Hub.go`` is set; -1 for not even an answer.  spoil: one byte is another.  length: bytes that
    are announced, -1 for none.  endless: zeros follow.  deaf: ranges are not understood.  shifted: other bytes than
    those asked for.  etag: checksum that is announced.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    hold: int | None = None
    spoil: bool = False
    length: int | None = None
    endless: bool = False
    deaf: bool = False
    shifted: bool = False
    etag: str | None = None


class Hub:
    """Repositories and what happened to them.

    sent: bytes of each file's content that left; requests: what was asked, in order.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.sent: Counter[str] = Counter()
        self.requests: list[tuple[str, str]] = []
        self.tokens: list[tuple[str, str]] = []
        self.token: str | None = None
        self.go = threading.Event()
        self.errors: list[BaseException] = []
        self._faults: dict[tuple[str, str], deque[Fault]] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.hub = self  # type: ignore[attr-defined]
        self._server.daemon_threads = True
        self._server.handle_error = self._note  # type: ignore[method-assign]
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_address[1]}"
        self.elsewhere = f"http{'s' if tls else ''}://localhost:{self._server.server_address[1]}"

    def add(self, repo: str, files: dict[str, bytes] | Path) -> None:
        """Publish a new version of a repository."""
        found = files if isinstance(files, dict) else {path.name: path.read_bytes() for path in files.iterdir()}
        self.repos[repo] = found

    def fail(self, name: str, fault: Fault, *, times: int = 1, method: str = "GET") -> None:
        """Let the next answers for a file of that name go wrong."""
        self._faults.setdefault((method, name), deque()).extend([fault] * times)

    def fault(self, method: str, name: str) -> Fault:
        with self._lock:
            queue = self._faults.get((method, name))
            return queue.popleft() if queue else Fault()

    def count(self, name: str, number: int) -> None:
        with self._lock:
            self.sent[name] += number

    def asked(self, method: str, name: str) -> int:
        """How often a file was asked for, by its address at the hub."""
        return sum(told == (method, name) for told in self.requests)

    def environment(self, home: Path) -> dict[str, str]:
        """Variables that make a process use this hub and a cache of its own."""
        others = re.compile(r"HF_|.*_proxy$|VSEARCH_OFFLINE|TRANSFORMERS_OFFLINE", re.IGNORECASE)
        kept = {name: value for name, value in os.environ.items() if not others.match(name)}
        return {**kept, "HF_ENDPOINT": self.url, "HF_HOME": str(home), **QUIET}

    def _note(self, request: Any, address: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ConnectionError | ssl.SSLError):
            self.errors.append(error)

    @contextmanager
    def running(self) -> Iterator[Hub]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.go.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()
        assert not self.errors, self.errors


def commit_of(files: dict[str, bytes]) -> str:
    """A commit's name, by what is in it."""
    return hashlib.sha1(b"".join(name.encode() + files[name] for name in sorted(files))).hexdigest()


def etag_of(content: bytes) -> str:
    """The checksum of a file as the hub gives it."""
    if len(content) >= LARGE:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    @property
    def hub(self) -> Hub:
        return self.server.hub  # type: ignore[attr-defined]

    def do_HEAD(self) -> None:
        self._route()

    def do_GET(self) -> None:
        self._route()

    def _route(self) -> None:
        self.hub.tokens.append((self.headers["Host"].partition(":")[0], self.headers.get("Authorization", "")))
        if match := re.fullmatch(r"/api/models/([^?]+?)(?:/revision/\w+)?(?:\?.*)?", self.path):
            self._list(match[1])
        elif match := re.fullmatch(r"/cdn/([^?]+)/(\w+)/([^?]+)", self.path):
            self._content(match[1], match[3])
        elif match := re.fullmatch(r"/([^/]+(?:/[^/]+)?)/resolve/(\w+)/([^?]+)", self.path):
            self._resolve(match[1], match[2], match[3])
        else:
            self._refuse(404)

    def _list(self, repo: str) -> None:
        """Tell which files there are."""
        self.hub.requests.append(("LIST", repo))
        if self._refused(repo, "main") or self._faulty(self.hub.fault("LIST", repo)):
            return
        files = self.hub.repos[repo]
        told = {"id": repo, "sha": commit_of(files), "siblings": [{"rfilename": name} for name in sorted(files)]}
        raw = json.dumps({**told, "private": False, "downloads": 0, "likes": 0, "tags": []}).encode()
        self._begin(200, {"Content-Type": "application/json", "Content-Length": str(len(raw))})
        self.wfile.write(raw)

    def _resolve(self, repo: str, revision: str, name: str) -> None:
        """Tell what a file is, and where; give a small one."""
        self.hub.requests.append((self.command, name))
        if self._refused(repo, revision):
            return
        fault = self.hub.fault("HEAD", name) if self.command == "HEAD" else Fault()
        if self._faulty(fault):
            return
        files = self.hub.repos[repo]
        if name not in files:
            return self._refuse(404, "EntryNotFound", {"X-Repo-Commit": commit_of(files)})
        etag = fault.etag or etag_of(files[name])
        size = len(files[name]) if fault.length is None else fault.length
        told = {"X-Repo-Commit": commit_of(files), "ETag": f'"{etag}"'}
        if len(files[name]) >= LARGE:
            place = {"Location": f"{self.hub.elsewhere}/cdn/{repo}/{commit_of(files)}/{name}", "Content-Length": "0"}
            self._begin(302, {**told, **place, "X-Linked-Size": str(size), "X-Linked-ETag": f'"{etag}"'})
        elif self.command == "HEAD":
            self._begin(200, told | ({"Content-Length": str(size)} if size >= 0 else {}))
        else:
            self._content(repo, name)

    def _content(self, repo: str, name: str) -> None:
        """Give the bytes, from where they are asked for."""
        fault = self.hub.fault("GET", name)
        if self._faulty(fault):
            return
        whole = self.hub.repos[repo][name]
        if fault.spoil:
            whole = whole[:-1] + bytes([whole[-1] ^ 1])
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted and not fault.deaf else 0
        if start and start >= len(whole):
            return self._refuse(416, "", {"Content-Range": f"bytes */{len(whole)}"})
        length = len(whole) - start if fault.length is None else fault.length
        headers = {} if fault.endless else {"Content-Length": str(length)}
        if start:
            first = start - 7 if fault.shifted else start
            headers["Content-Range"] = f"bytes {first}-{len(whole) - 1}/{len(whole)}"
        self._begin(206 if start else 200, headers)
        self._send(name, whole[start:], fault)

    def _send(self, name: str, body: bytes, fault: Fault) -> None:
        held = 0
        if fault.hold is not None and fault.hold >= 0:
            held = min(fault.hold, len(body))
            self._write(name, body[:held])
            self.hub.go.wait()
        self._write(name, body[held : fault.cut])
        while fault.endless:
            self._write(name, bytes(BLOCK))

    def _write(self, name: str, content: bytes) -> None:
        for start in range(0, len(content), BLOCK):
            block = content[start : start + BLOCK]
            self.wfile.write(block)
            self.hub.count(name, len(block))

    def _refused(self, repo: str, revision: str) -> bool:
        """Whether there is no such version, or not for whoever asks; that has then been said."""
        files = self.hub.repos.get(repo)
        if self.hub.token and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self._refuse(401, "GatedRepo")
        elif files is None:
            self._refuse(401, "RepoNotFound")
        elif revision not in ("main", commit_of(files)):
            self._refuse(404, "RevisionNotFound")
        else:
            return False
        return True

    def _faulty(self, fault: Fault) -> bool:
        """Whether the answer is an error, which has been sent."""
        if fault.hold == -1:
            self.hub.go.wait()
        if fault.status:
            self._refuse(fault.status, "", fault.headers)
        return bool(fault.status)

    def _refuse(self, status: int, code: str = "", headers: dict[str, str] | None = None) -> None:
        told = {"X-Error-Code": code} if code else {}
        self._begin(status, {"Content-Length": "0", **told, **(headers or {})})

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Be quiet."""
