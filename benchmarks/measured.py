"""CPU seconds and peak memory of a command as a user runs it, by wait4.

Run as a program it is the small process that starts the command: what Linux gives as the peak of a process is never
less than what the one that started it held, and a benchmark may hold gigabytes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from memory import Peak

# of this machine, of a build, or of the benchmark itself; users have none of them
_NOT_A_USERS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_NUM_THREADS", "PYTHONDONTWRITEBYTECODE")


class Usage(NamedTuple):
    """What a command took.

    cpu: seconds, user and system, of the process and of those that it waited for.  wall: seconds.
    peak_mb: the most resident memory of the largest of them, in MB (10⁶ bytes).
    """

    cpu: float
    wall: float
    peak_mb: float


def user_environment(**more: str) -> dict[str, str]:
    """The environment of this process without what users do not have.  more: variables to set."""
    return {name: value for name, value in os.environ.items() if name not in _NOT_A_USERS} | more


def measure(command: Sequence[str], folder: Path | None = None, **environment: str) -> Usage:
    """Run a command to its end.  folder: where it runs.  Raises RuntimeError with its last words when it fails."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as figures:
        run = subprocess.run(
            _started(command, figures.name),
            env=user_environment(**environment),
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if run.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {run.returncode}: {run.stderr[-2000:]}")
        return Usage(**json.load(figures))


def measure_all(command: Sequence[str], **environment: str) -> tuple[Usage, Peak]:
    """The same, and the most memory of all of its processes together.  Raises CalledProcessError when it fails."""
    from memory import peak_of  # the small process does without

    with tempfile.NamedTemporaryFile("r", suffix=".json") as figures:
        peak = peak_of(_started(command, figures.name), user_environment(**environment))
        return Usage(**json.load(figures)), peak


def _started(command: Sequence[str], figures: str) -> list[str]:
    return [sys.executable, "-I", "-S", __file__, figures, *command]


def least(usages: Sequence[Usage]) -> Usage:
    """The least CPU and wall time of several runs, since others use the machine meanwhile, and the most memory."""
    cpu, wall, peak_mb = zip(*usages, strict=True)
    return Usage(min(cpu), min(wall), max(peak_mb))


def main() -> int:
    """Start the command behind the name of the file for the figures; returns its exit code."""
    _, figures, *command = sys.argv
    began = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - began
    peak_mb = usage.ru_maxrss * 1024 / 1e6  # Linux counts in units of 1,024 bytes
    with open(figures, "w", encoding="ascii") as file:
        json.dump({"cpu": usage.ru_utime + usage.ru_stime, "wall": wall, "peak_mb": peak_mb}, file)
    return abs(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    sys.exit(main())
