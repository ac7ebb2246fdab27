"""The command ``vsearch`` in forks of a process that has imported it: what it does, without a cold start.

test_cli.py and others start it cold, as people do; most tests ask what a command does and prints, hundreds of times.
"""

from __future__ import annotations

import atexit
import os
import re
import signal
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.durability.zygote import Ended, Zygote

# torch before faiss: each brings its own OpenMP
MODULES = ("torch", "vsearch.cli.app", "vsearch.index", "vsearch.present", "vsearch.embed.lite2", "vsearch.build")

PATIENCE = 120  # seconds; a command that hangs dies of SIGALRM


def environment(**more: str) -> dict[str, str]:
    """That of the commands: no index named, no model hub, one thread."""
    kept = {name: value for name, value in os.environ.items() if name != "VSEARCH_INDEX"}
    return {**kept, "HF_HUB_OFFLINE": "1", "TERM": "xterm-256color", "OMP_NUM_THREADS": "1", **more}


def golden(raw: bytes, cwd: Path) -> str:
    """What was printed, with the folder as HERE and times as T; no traceback."""
    text = os.fsdecode(raw).replace(str(cwd), "HERE")
    assert "Traceback" not in text
    return re.sub(r"in [0-9.]+ s( \([0-9.]+/s\))?", lambda told: "in T s (R/s)" if told[1] else "in T s", text)


def run(*words: str | bytes | Path, cwd: Path, stdin: bytes = b"") -> tuple[int, str, str]:
    """Exit code, standard output, standard error; the folder shows as HERE, and times as T."""
    with tempfile.TemporaryDirectory() as name:
        files = {stream: Path(name) / stream for stream in ("stdin", "stdout", "stderr")}
        for path in files.values():
            path.write_bytes(stdin)
        for stream in ("stdout", "stderr"):
            files[stream].write_bytes(b"")
        told: dict[str, Any] = {stream: str(path) for stream, path in files.items()}
        told |= {"words": [os.fsdecode(word) for word in words], "cwd": os.fspath(cwd), "env": environment()}
        ended = _zygote().call("tests.forked:typed", **told)
        assert ended.ok, ended
        return ended.value, golden(files["stdout"].read_bytes(), cwd), golden(files["stderr"].read_bytes(), cwd)


def call(job: str, **args: Any) -> Ended:
    """Run another job, ``module:function`` of JSON arguments, in a fork; tells of the signal that killed it."""
    return _zygote().call(job, **args)


@cache
def _zygote() -> Zygote:
    made = Zygote(modules=MODULES)
    atexit.register(made.__exit__)
    return made


def typed(words: list[str], cwd: str, env: dict[str, str], stdin: str, stdout: str, stderr: str) -> int:
    """Run the command in this process, whose standard streams become files; returns its exit code."""
    for fd, path, flags in ((0, stdin, os.O_RDONLY), (1, stdout, os.O_WRONLY), (2, stderr, os.O_WRONLY)):
        os.dup2(os.open(path, flags), fd)
    # What the old ones have read or not yet written is the zygote's.
    sys.stdin, sys.stdout, sys.stderr = (open(fd, mode, closefd=False) for fd, mode in ((0, "r"), (1, "w"), (2, "w")))
    sys.argv = ["vsearch", *words]
    signal.alarm(PATIENCE)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    from vsearch.cli import main

    try:
        return int(main(words))
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
