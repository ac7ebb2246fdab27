"""P1, P3, P8: what was acknowledged survives kill -9, every operation is whole, and the next writer gets in."""

from pathlib import Path

import pytest

from tests.durability.kills import DEFECTS, Killer
from tests.durability.zygote import Zygote

pytestmark = pytest.mark.torture


def test_what_was_acknowledged_survives_kill_9(workshop: Path, zygotes: list[Zygote]) -> None:
    figures = Killer(zygotes[0], workshop, seed=1).run(66)
    assert figures.failures == []
    assert figures.kills >= 60
    assert sum(figures.inside.values()) >= figures.kills // 3
    assert {"add", "reindex", "build", "compact", "respace"} <= set(figures.inside)


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_planted_defect_shows(workshop: Path, zygotes: list[Zygote], defect: str) -> None:
    assert Killer(zygotes[0], workshop, seed=2, mutant=defect).run(400).failures
