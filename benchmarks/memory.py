"""Peak memory of a command and all of its descendants.

What is summed is the proportional set size (PSS): a page that several processes share counts once in all.
It is read every tenth of a second from /proc, so a peak that is shorter than that can be missed.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

PERIOD = 0.1  # seconds


def descendants(pid: int) -> list[int]:
    """The process and all processes that come from it."""
    found, waiting = [], [pid]
    while waiting:
        parent = waiting.pop()
        found.append(parent)
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            waiting += map(int, _read(children).split())
    return found


def pss(pid: int) -> int:
    """Proportional set size of one process in bytes; 0 once it is gone."""
    for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:  # the process ended meanwhile
        return ""


def peak_mb(command: Sequence[str]) -> float:
    """Run a command to its end; the highest sum of PSS over its process tree, in MB (10⁶ bytes).

    Raises CalledProcessError when the command fails.
    """
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, sum(map(pss, descendants(process.pid))))
            time.sleep(PERIOD)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return peak / 1e6
