"""A build that is killed at any moment leaves the old generation serving, and the next build succeeds."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.durability.builds import DEFECT
from tests.durability.zygote import Zygote

pytestmark = pytest.mark.torture
JOBS = "tests.durability.builds:"
POINTS = 50


@dataclass
class Told:
    """killed: builds that had not ended.  failures: what was wrong with what a kill left."""

    killed: int = 0
    failures: list[str] = field(default_factory=list)


def kill_builds(zygote: Zygote, root: Path, points: int, mutant: str = "") -> Told:
    """Kill builds after even shares of the time that one takes."""
    old = zygote.call(JOBS + "prepare", root=str(root)).value
    started = time.monotonic()
    old = zygote.call(JOBS + "build", root=str(root)).value
    seconds = time.monotonic() - started
    told = Told()
    for point in range(points):
        pid = zygote.start(JOBS + "build", root=str(root), mutant=mutant)
        time.sleep(seconds * (point + 0.5) / points)
        os.kill(pid, signal.SIGKILL)
        ended = zygote.finish()
        left = zygote.call(JOBS + "look", root=str(root)).value
        told.killed += ended.signal == signal.SIGKILL
        if left["problems"] or left["recall"] < 0.85 or left["generation"] is None:
            told.failures.append(f"point {point}: {left}")
        if ended.signal and left["generation"] != old and not ended.value:
            # The kill may fall between the commit and the end of the process: then it is the new one, and whole.
            told.failures += [] if left["generation"] and left["generation"] > old else [f"point {point}: {left}"]
        old = left["generation"] or zygote.call(JOBS + "build", root=str(root)).value
    assert zygote.call(JOBS + "build", root=str(root)).ok, "and the next build is not in the way of anything"
    return told


def test_a_killed_build_leaves_the_old_generation_serving(workshop: Path, zygotes: list[Zygote]) -> None:
    told = kill_builds(zygotes[0], workshop / "a.vsearch", POINTS)
    assert told.failures == []
    assert told.killed >= POINTS // 4


def test_a_build_that_drops_the_old_one_first_is_caught(workshop: Path, zygotes: list[Zygote]) -> None:
    assert kill_builds(zygotes[0], workshop / "b.vsearch", 8, DEFECT).failures
