"""P14: training that was killed at any moment resumes exactly."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.durability.place import workshop as folder_of_its_own
from tests.durability.training import DEFECTS, MODULES, TrainingKiller, Undisturbed, undisturbed
from tests.durability.zygote import Zygote

pytestmark = pytest.mark.torture


@pytest.fixture(scope="module")
def trainer() -> Iterator[Zygote]:
    """A process to fork from that has torch."""
    with Zygote(modules=MODULES) as zygote:
        yield zygote


@pytest.fixture(scope="module")
def usual(trainer: Zygote) -> Iterator[Undisturbed]:
    """The run that nobody killed."""
    with folder_of_its_own() as folder:
        yield undisturbed(trainer, folder)


def test_training_killed_at_any_moment_ends_at_the_same_weights(
    workshop: Path, trainer: Zygote, usual: Undisturbed
) -> None:
    figures = TrainingKiller(trainer, workshop, usual, seed=1).run(6)
    assert figures.failures == []
    assert figures.kills >= 6 and figures.resumed and figures.while_writing


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_planted_defect_shows(workshop: Path, trainer: Zygote, usual: Undisturbed, defect: str) -> None:
    assert TrainingKiller(trainer, workshop, usual, seed=146, mutant=defect).run(30).failures
