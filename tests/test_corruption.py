"""P5, P9, P15, P20: whatever is damaged is detected and named or does no harm; it never kills, and never lies."""

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from random import Random

import pytest

import vsearch
from tests.durability.damage import EXAMINE, KINDS, LAST, MAKE, OLDER, damages, inflict
from tests.durability.place import workshop
from tests.durability.zygote import Zygote
from vsearch.errors import IndexCorrupt
from vsearch.store import Store
from vsearch.types import EncoderInfo, PixelSpec

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
def zygotes():
    with Zygote() as one, Zygote() as two:
        yield [one, two]


@pytest.fixture(scope="module")
def zygote(zygotes):
    return zygotes[0]


@pytest.fixture(scope="module")
def folder():
    with workshop() as folder:
        yield folder


@pytest.fixture(scope="module")
def specimens(folder, zygote):
    """An index, the same index earlier, and another one."""

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
def test_P5_damage_of_any_file_is_detected_and_named_or_harmless(kind, specimens, zygotes):
    cases = list(damages(specimens / "sound", KINDS[kind], specimens / "older", specimens / "other", Random(1)))

    def half(number: int) -> list[tuple[str, str]]:
        return [
            damaged(zygotes[number], case, specimens, f"{kind}-{number}-{at}")
            for at, case in enumerate(cases[number::2])
        ]

    with ThreadPoolExecutor(2) as pool:
        told = [*chain.from_iterable(pool.map(half, (0, 1)))]
    assert len(told) == len(cases)
    assert [text for outcome, text in told if outcome not in ("detected", "harmless")] == []
    found_by_check = [text for outcome, text in told if outcome == "detected"]
    unnamed = [text for text in found_by_check if kind in NAMED and not any(name in text for name in NAMED[kind])]
    assert unnamed == []
    outcomes = Counter(outcome for outcome, _ in told)
    assert set(outcomes) == {"harmless"} if kind in HARMLESS else outcomes["detected"] > 0


def damaged(zygote: Zygote, case, specimens: Path, name: str) -> tuple[str, str]:
    """What became of one damage, and what was said of it."""
    root = specimens / name
    inflict(case, specimens / "sound", root)
    ended = zygote.call(EXAMINE, root=str(root), seed=SEED, last=LAST, older=OLDER)
    shutil.rmtree(root)
    told = verdict(ended.value) if ended.ok else "crashed"
    if told == "detected":
        return told, " ".join([ended.value["check"] or "", *ended.value["problems"]])
    return told, f"{told}: {case.path} {case.how}: {ended.value or ended}"[-1500:]


LEFTOVERS = ("", "spaces/*", "spaces/*/vectors", "spaces/*/ann", "meta")


@pytest.mark.parametrize("where", LEFTOVERS)
def test_P9_left_over_files_never_stop_a_start(where, specimens, zygote, tmp_path):
    root = tmp_path / "index"
    shutil.copytree(specimens / "sound", root)
    folder = next(iter(root.glob(where))) if where else root
    for name in (".tmp-0123", "x.tmp", "99999999.f16", "9999-00000000", "no \udcff name", "core"):
        (folder / name).write_bytes(b"" if name == "core" else b"rubbish" * 1000)
    (folder / ".tmp-folder" / "deep").mkdir(parents=True)
    (folder / ".tmp-folder" / "deep" / "index.faiss").write_bytes(b"half")
    (folder / "dangling").symlink_to(tmp_path / "nowhere")
    found = examined(zygote, root)
    assert verdict(found) == "harmless"
    assert not found["repair"]


def test_P9_a_half_made_index_beside_does_not_stop_a_new_one(tmp_path):
    scratch = tmp_path / ".photos.vsearch.new-0123456789abcdef"
    (scratch / "meta").mkdir(parents=True)
    (scratch / "meta" / "data.mdb").write_bytes(bytes(100))
    with vsearch.create(tmp_path / "photos.vsearch", encoder="toy") as index:
        assert len(index) == 0
    assert not scratch.exists()


def test_P15_every_file_of_another_encoders_index_is_refused(tmp_path, photos, index):
    index.close()
    mine, theirs = tmp_path / "photos.vsearch", tmp_path / "theirs.vsearch"
    other = EncoderInfo("toy", "0" * 64, 8, PixelSpec(16))
    Store.create(theirs, other).close()
    for name in ("FORMAT", "meta", "spaces"):
        both = tmp_path / f"both-{name}.vsearch"
        shutil.copytree(theirs, both)
        if name == "FORMAT":
            shutil.copy(mine / name, both / name)
        else:
            shutil.rmtree(both / name)
            shutil.copytree(mine / name, both / name)
        if name == "spaces":  # The metadata names no row of them.
            with vsearch.open(both) as opened:
                assert len(opened) == 0 and opened.check().problems == ()
        else:
            with pytest.raises(IndexCorrupt, match="another index"):
                vsearch.open(both)


@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_P20_repair_embeds_damaged_vectors_again_and_only_those(how, tmp_path, photos, index):
    hits = {hit.path: hit.score for hit in index.search("red", k=6)}
    index.close()
    rows = next((tmp_path / "photos.vsearch").glob("spaces/*/vectors/*.f16"))
    whole = rows.read_bytes()
    size = (len(whole) - 64) // 6
    if how == "gone":
        rows.unlink()
    else:
        rows.write_bytes(whole[:-1] if how == "cut" else whole[: 64 + size] + b"\xff" + whole[65 + size :])
    lost = {"flipped": 1, "cut": 1, "gone": 6}[how]
    with vsearch.open(tmp_path / "photos.vsearch", write=True) as damaged:
        assert any(rows.name in line for line in damaged.check().problems)
        assert any(f"embedded {lost} damaged" in line for line in damaged.repair().actions)
        assert damaged.check().problems == ()
        assert {hit.path: hit.score for hit in damaged.search("red", k=6)} == pytest.approx(hits)
