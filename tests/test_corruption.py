"""P5, P9, P15, P20: whatever is damaged is detected and named or does no harm; it never kills, and never lies."""

import shutil
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tests.durability.damage import EXAMINE, KINDS, LAST, MAKE, OLDER, Damage, damages, inflict
from tests.durability.zygote import Zygote

pytestmark = pytest.mark.torture

SEED, OTHER_SEED = 5, 6
NAMED = {
    "FORMAT": ("FORMAT", "uuid", "header", "format"),
    "metadata": ("metadata", "data.mdb"),
    "vectors": (".f16", "vector"),
    "ids": (".ids",),
    "FAISS": ("index.faiss",),
}
HARMLESS = ("LOCK", "LMDB lock", "encoder", "recipe", "report")


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as zygote:
        yield zygote


@pytest.fixture(scope="module")
def specimens(tmp_path_factory, zygote):
    """An index, the same index earlier, and another one."""
    folder = tmp_path_factory.mktemp("specimens")

    def make(name: str, seed: int, first: int, last: int) -> None:
        made = zygote.call(MAKE, root=str(folder / name), seed=seed, first=first, last=last)
        assert made.ok, made

    make("sound", SEED, 0, OLDER)
    shutil.copytree(folder / "sound", folder / "older")
    make("sound", SEED, OLDER + 1, LAST)
    make("other", OTHER_SEED, 0, LAST)
    return folder


def examined(zygote: Zygote, root: Path) -> dict:
    """What became of a damaged index; the process that looked at it must live."""
    ended = zygote.call(EXAMINE, root=str(root), seed=SEED, last=LAST, older=OLDER)
    assert ended.ok, ended
    return ended.value


def verdict(found: dict) -> str:
    """Detected, harmless, or what must never be."""
    errors = [found[step] for step in ("search", "check", "write", "again") if found[step]]
    if found["wrong"]:
        return "silently wrong"
    if errors and not (found["check"] or found["problems"]):
        return "not found by check"
    if found["left"]:
        return "not repaired"
    return "detected" if errors or found["problems"] else "harmless"


def test_the_specimen_is_sound_and_has_every_kind_of_file(specimens, zygote, tmp_path):
    shutil.copytree(specimens / "sound", tmp_path / "copy")
    found = examined(zygote, tmp_path / "copy")
    assert verdict(found) == "harmless" and not found["repair"]
    assert [kind for kind, pattern in KINDS.items() if not list((specimens / "sound").glob(pattern))] == []


@pytest.mark.parametrize("kind", KINDS)
def test_P5_damage_of_any_file_is_detected_and_named_or_harmless(kind, specimens, zygote, tmp_path):
    outcomes: Counter[str] = Counter()
    bad: list[str] = []
    found_by_check: list[str] = []
    cases = damages(specimens / "sound", KINDS[kind], specimens / "older", specimens / "other", Random(1))
    for number, case in enumerate(cases):
        root = tmp_path / str(number)
        inflict(case, specimens / "sound", root)
        ended = zygote.call(EXAMINE, root=str(root), seed=SEED, last=LAST, older=OLDER)
        shutil.rmtree(root)
        told = verdict(ended.value) if ended.ok else "crashed"
        outcomes[told] += 1
        if told == "detected":
            found_by_check.append(" ".join([ended.value["check"] or "", *ended.value["problems"]]))
        elif told != "harmless":
            bad.append(f"{told}: {case.path} {case.how}: {ended.value or ended}"[-1500:])
    assert bad == []
    assert all(any(name in text for name in NAMED[kind]) for text in found_by_check if kind in NAMED)
    assert set(outcomes) == {"harmless"} if kind in HARMLESS else outcomes["detected"] > 0
