"""Moving duplicates, and moving them back, survives kills, bad disks and power cuts: each picture is there once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.durability import move_faults, move_kills, move_powerloss
from tests.durability.crash import KINDS, crashes, materialise
from tests.durability.disk import Disk
from tests.durability.move_defects import DEFECTS
from tests.durability.move_faults import MODES, MoveSaboteur
from tests.durability.move_kills import MoveKiller
from tests.durability.move_trial import MODULES
from tests.durability.place import workshop as folder_of_its_own
from tests.durability.zygote import Zygote

pytestmark = pytest.mark.torture


@pytest.fixture(scope="module")
def mover(shim: Path) -> Iterator[Zygote]:
    """A process to fork from whose file calls can fail."""
    with Zygote(shim, MODULES) as zygote:
        yield zygote


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, Path]]:
    """A folder for each harness, in which it makes its pictures once."""
    with folder_of_its_own() as folder:
        yield {name: folder / name for name in ("kills", "faults", "power cuts")}


def test_pictures_survive_kill_9_of_moving_and_of_undoing(places: dict[str, Path], mover: Zygote) -> None:
    figures = MoveKiller(mover, places["kills"], seed=1).run(30)
    assert figures.failures == []
    assert figures.kills >= 30 and set(figures.inside) == {"apply", "undo"}
    assert sum(figures.inside.values()) >= figures.kills // 2
    assert 0 < figures.plain < figures.kills and figures.rivals and figures.at_calls


@pytest.mark.parametrize("defect", move_kills.DEFECTS)
def test_each_planted_defect_shows_by_kills(places: dict[str, Path], mover: Zygote, defect: str) -> None:
    assert MoveKiller(mover, places["kills"], seed=3, mutant=defect).run(300).failures


@pytest.mark.parametrize("mode", MODES)
def test_pictures_survive_a_fault_at_every_seventh_call(
    places: dict[str, Path], mover: Zygote, mode: tuple[str, bool]
) -> None:
    saboteur = MoveSaboteur(mover, places["faults"], mode)
    figures = saboteur.run(saboteur.faults(every=7))
    assert figures.failures == []
    assert figures.runs >= figures.calls // 7 * 4 and figures.reported and figures.struck >= figures.reported


@pytest.mark.parametrize("defect", move_faults.DEFECTS)
def test_each_planted_defect_shows_by_faults(places: dict[str, Path], mover: Zygote, defect: str) -> None:
    command, calls = move_faults.DEFECTS[defect]
    saboteur = MoveSaboteur(mover, places["faults"], (command, False), defect)
    assert saboteur.run(saboteur.faults(calls=calls)).failures


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("plain", [False, True])
def test_pictures_survive_a_power_cut(places: dict[str, Path], mover: Zygote, plain: bool) -> None:
    figures = move_powerloss.run(mover, places["power cuts"], seed=1, most=1000, plain=plain)
    assert figures.failures == []
    assert figures.states >= 100 and set(figures.by_kind) == {kind.name for kind in KINDS}


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize(("defect", "plain"), move_powerloss.DEFECTS.items())
def test_each_planted_defect_shows_by_power_cuts(
    places: dict[str, Path], mover: Zygote, defect: str, plain: bool
) -> None:
    assert move_powerloss.run(mover, places["power cuts"], seed=2, most=1000, plain=plain, mutant=defect).failures


def test_every_planted_defect_has_a_harness_that_catches_it() -> None:
    assert {*move_kills.DEFECTS, *move_faults.DEFECTS, *move_powerloss.DEFECTS} == set(DEFECTS)


def test_an_atomic_rename_is_never_half_lost(tmp_path: Path) -> None:
    disk = Disk({b"a": None, b"b": None, b"a/x": b"bytes"}, atomic=True)

    def states() -> set[frozenset[bytes]]:
        trees = [tree for seed in range(100) for _, tree in crashes(disk, str(seed))]
        return {frozenset(path for path, content in tree.items() if content == b"bytes") for tree in trees}

    disk.rename(b"a/x", b"b/y")
    assert states() == {frozenset([b"a/x"]), frozenset([b"b/y"])}
    new = disk.find(b"b")
    assert new is not None
    new.sync()
    assert states() == {frozenset([b"a/x", b"b/y"]), frozenset([b"b/y"])}
    both = next(tree for seed in range(100) for _, tree in crashes(disk, str(seed)) if b"a/x" in tree)
    materialise(both, tmp_path / "made")
    assert (tmp_path / "made/a/x").samefile(tmp_path / "made/b/y")
    old = disk.find(b"a")
    assert old is not None
    old.sync()
    assert states() == {frozenset([b"b/y"])}


def test_without_that_it_may_be(tmp_path: Path) -> None:
    disk = Disk({b"a": None, b"b": None, b"a/x": b"bytes"})
    disk.rename(b"a/x", b"b/y")
    lost = [tree for seed in range(100) for _, tree in crashes(disk, str(seed)) if b"bytes" not in tree.values()]
    assert lost
