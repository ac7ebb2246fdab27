"""P2, P3: what was acknowledged survives a power cut at any moment, whatever the disk had not yet written."""

from pathlib import Path

import pytest

from tests.durability.crash import KINDS
from tests.durability.powerloss import DEFECTS, run
from tests.durability.zygote import Zygote

pytestmark = [pytest.mark.torture, pytest.mark.usefixtures("strace")]


def test_what_was_acknowledged_survives_a_power_cut(workshop: Path, zygotes: list[Zygote]) -> None:
    figures = run(zygotes[:2], workshop, seed=1, last=22, most=1000)
    assert figures.failures == []
    assert figures.states == 1000
    assert set(figures.by_kind) == {kind.name for kind in KINDS}


@pytest.mark.parametrize(("defect", "last"), DEFECTS.items())
def test_each_planted_defect_shows(workshop: Path, zygotes: list[Zygote], defect: str, last: int) -> None:
    assert run(zygotes[:2], workshop, seed=2, last=last, most=3000, mutant=defect).failures
