"""A peer of the `ann` suite as seen from here: its process, and what it answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from venvs import CannotInstall, python_of

PEERS = Path(__file__).resolve().parent / "peers"
# Several columns of the comparison may be one library: the name, the program, the environment (None: vsearch's own).
PROGRAMS = {
    "vsearch": ("run_vsearch.py", None),
    "vsearch-exact": ("run_vsearch.py", None),
    "faiss-flat": ("run_flat.py", None),
    "faiss": ("run_faiss.py", None),
    "faiss-default": ("run_faiss.py", None),
    "hnswlib": ("run_hnswlib.py", "hnswlib"),
    "usearch": ("run_usearch.py", "usearch"),
    "scann": ("run_scann.py", "scann"),
    "scann-soar": ("run_scann.py", "scann"),
    "autofaiss": ("run_autofaiss.py", "autofaiss"),
}
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTEROP_THREADS"), "1"
)


class PeerFailed(Exception):
    """A peer's process ended before it answered."""


class RunningPeer:
    """The process of one peer.  Raises CannotInstall when its environment cannot be made."""

    def __init__(self, name: str, log: Path) -> None:
        program, environment = PROGRAMS[name]
        python = sys.executable if environment is None else str(python_of(environment))
        self.name = name
        self._log = log
        # The environment of the caller, but nothing of where its modules lie.
        env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [python, str(PEERS / program)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**env, **ONE_THREAD},
                text=True,
            )

    def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """Let it do something and wait for what it tells.  Raises PeerFailed with the end of its log."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **what}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            said = self._log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            last = next((line for line in reversed(said) if "Error" in line), said[-1])
            raise PeerFailed(f"{self.name} ended while it was to {do}: {last} (all it said: {self._log})")
        told: dict[str, Any] = json.loads(line)
        return told

    def __enter__(self) -> RunningPeer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        if kind is not None:
            self._process.kill()
        self._process.wait()


__all__ = ["PROGRAMS", "CannotInstall", "PeerFailed", "RunningPeer"]
