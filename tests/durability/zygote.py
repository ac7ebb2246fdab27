"""Processes that start in milliseconds: one imports everything, and each job runs in a fork of it.

The first process uses no threads, opens no store and searches nothing, so that its forks are as good as new.  With
the fault shim preloaded, its forks can fail their own file calls.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended: the signal that killed it, its exit status, what it returned, the traceback it died of."""

    signal: int
    status: int
    value: Any
    error: str

    @property
    def ok(self) -> bool:
        """Whether it returned."""
        return self.signal == 0 and self.status == 0 and not self.error

    def __str__(self) -> str:
        return f"signal {self.signal}, status {self.status}, {self.error}"


class Zygote:
    """A process that forks jobs, one at a time.  A job is a function ``module:name`` of JSON arguments."""

    def __init__(self, preload: Path | None = None, modules: tuple[str, ...] = (), under: tuple[str, ...] = ()) -> None:
        """preload: a library for its forks.  modules: what it imports besides the store's.  under: what starts it."""
        env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        if preload is not None:
            env["LD_PRELOAD"] = str(preload)
        command = [*under, sys.executable, "-m", __spec__.name if __spec__ else "tests.durability.zygote", *modules]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=ROOT, text=True
        )
        self._running = 0

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._pipe("stdin").close()
        self._process.wait()
        self._pipe("stdout").close()

    def _pipe(self, name: str) -> IO[str]:
        pipe: IO[str] = getattr(self._process, name)
        return pipe

    def start(self, job: str, **args: Any) -> int:
        """Fork and begin; return the process id, which stays the job's until ``finish``.

        A job that somebody has left running, because a test failed over it, is ended first.
        """
        self._end()
        self._ask({"job": job, "args": args})
        self._running = int(self._answer())
        return self._running

    def finish(self) -> Ended:
        """Wait for the end of the job."""
        self._ask("finish")
        ended = Ended(**self._answer())
        self._running = 0
        return ended

    def call(self, job: str, **args: Any) -> Ended:
        """Start and finish."""
        self.start(job, **args)
        return self.finish()

    def _end(self) -> None:
        if self._running:
            os.kill(self._running, signal.SIGKILL)
            self.finish()

    def _ask(self, what: Any) -> None:
        self._pipe("stdin").write(json.dumps(what) + "\n")
        self._pipe("stdin").flush()

    def _answer(self) -> Any:
        line = self._pipe("stdout").readline()
        if not line:
            raise RuntimeError("the zygote died")
        return json.loads(line)


def serve() -> None:
    """Fork a child for each line of standard input."""
    stores = ("numpy", "faiss", "lmdb", "lmdb.verify", "tests.durability.jobs", "tests.durability.readers")
    for module in (*sys.argv[1:], *stores):  # torch, where asked for, before faiss
        importlib.import_module(module)
    answers = os.dup(1)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while line := sys.stdin.readline():
        told = json.loads(line)
        out, into = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(out)
            os.close(answers)
            _child(into, told["job"], told["args"])
        os.close(into)
        _say(answers, pid)
        # Until the parent asks for it, a dead child stays a zombie, so that its number cannot become another's.
        sys.stdin.readline()
        with open(out, "rb") as pipe:
            raw = pipe.read()
        _, status = os.waitpid(pid, 0)
        killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        result = json.loads(raw) if raw else {"value": None, "error": ""}
        _say(answers, {"signal": killed, "status": 0 if killed else os.WEXITSTATUS(status), **result})


def _say(fd: int, value: Any) -> None:
    os.write(fd, json.dumps(value).encode() + b"\n")


def _child(into: int, job: str, args: dict[str, Any]) -> None:
    module, _, name = job.partition(":")
    try:
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        result = {"value": function(**args), "error": ""}
    except BaseException:
        result = {"value": None, "error": traceback.format_exc()}
    raw = json.dumps(result).encode()
    while raw:
        raw = raw[os.write(into, raw) :]
    os._exit(0)


if __name__ == "__main__":
    serve()
