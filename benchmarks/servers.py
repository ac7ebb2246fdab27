"""`vsearch serve` as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(place: Path, environment: Mapping[str, str] | None = None) -> Iterator[tuple[int, int]]:
    """A server of the index at ``place`` without a token: its port and its process.

    environment: that of the server, this process's own unless given.
    """
    run = [sys.executable, "-m", "vsearch", "serve", os.fspath(place), "--port", "0", "--no-token"]
    with subprocess.Popen(run, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        address = process.stderr.readline().split()[-1]
        threading.Thread(target=process.stderr.read, daemon=True).start()
        try:
            yield int(address.rsplit(":", 1)[1].strip("/")), process.pid
        finally:
            process.terminate()
