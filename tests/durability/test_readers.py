"""P6, P7, P18, P21: readers beside a writer see one consistent moment, whole, never an older one than before."""

from pathlib import Path

import pytest

from tests.durability import faults, foreign, kills, powerloss
from tests.durability.mutants import MUTANTS
from tests.durability.readers import DEFECTS, run
from tests.durability.zygote import Zygote

pytestmark = pytest.mark.torture

READS = 2000


def test_every_read_beside_a_writer_is_one_whole_moment(workshop: Path, zygotes: list[Zygote]) -> None:
    figures = run(zygotes, workshop, seed=1, reads=READS)
    assert figures.failures == []
    assert figures.reads == READS
    assert figures.searches >= READS // 5
    assert figures.backups > 0
    assert figures.operations > READS // 50


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_planted_defect_shows(workshop: Path, zygotes: list[Zygote], defect: str) -> None:
    assert run(zygotes, workshop, seed=2, reads=20_000, mutant=defect).failures


def test_every_planted_defect_has_a_harness_that_catches_it() -> None:
    caught = {*kills.DEFECTS, *powerloss.DEFECTS, *faults.DEFECTS, *foreign.DEFECTS, *DEFECTS}
    assert caught == set(MUTANTS)
