"""Peak memory of a command and all of its descendants.

What is summed is the proportional set size (PSS): a page that several processes share counts once in all.
It is read every tenth of a second from /proc, so a peak that is shorter than that can be missed.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

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


def pss(pid: int) -> tuple[int, int]:
    """Proportional set size of one process in bytes, whole and of anonymous pages only; zeros once it is gone."""
    told = dict(line.split()[:2] for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines()[1:])
    return int(told.get("Pss:", 0)) * 1024, int(told.get("Pss_Anon:", 0)) * 1024


def held(pid: int) -> tuple[int, int]:
    """The sums of ``pss`` over a process and all that come from it."""
    whole, anonymous = zip(*map(pss, descendants(pid)), strict=True)
    return sum(whole), sum(anonymous)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:  # the process ended meanwhile
        return ""


class Peak(NamedTuple):
    """The highest sums over a process tree, in MB (10⁶ bytes).

    whole: of all pages, those of mapped files included, which the system takes back when others need memory.
    anonymous: of what it can only write to swap.
    """

    whole: float
    anonymous: float


def peak_of(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Peak:
    """Run a command to its end.  environment: its own, unless it is this one.

    Raises CalledProcessError when it fails.
    """
    peak = (0, 0)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        while process.poll() is None:
            now = held(process.pid)
            peak = max(peak[0], now[0]), max(peak[1], now[1])
            time.sleep(PERIOD)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Peak(peak[0] / 1e6, peak[1] / 1e6)
