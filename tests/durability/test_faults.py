"""P4: an I/O error, a full disk or a short write is an error message, never damage, and work goes on afterwards."""

import ctypes
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.durability import tinystore
from tests.durability.faults import DEFECTS, KINDS, Faults, Saboteur
from tests.durability.move_faults import FAULTS
from tests.durability.zygote import Zygote

pytestmark = pytest.mark.torture

TINY = """
import ctypes, sys
from tests.durability import tinystore
shim = ctypes.CDLL(None)
shim.fault_arm(sys.argv[1].encode(), ctypes.c_long(int(sys.argv[3])), int(sys.argv[4]))
shim.fault_names.restype = ctypes.c_char_p
try:
    tinystore.run(sys.argv[1], sys.argv[2], sys.argv[5])
finally:
    print(shim.fault_names()[:shim.fault_calls()].decode(), shim.fault_struck())
"""


def tiny(shim: Path, folder: Path, at: int, kind: int, defect: str = "") -> tuple[str, str, int, bytes]:
    """Calls, error, last acknowledged value and what the store holds, after a writer on a bad disk."""
    folder.mkdir()
    store, acks = folder / "store", folder / "acks"
    store.mkdir()
    command = [sys.executable, "-c", TINY, str(store), str(acks), str(at), str(kind), defect]
    told = subprocess.run(command, env={**os.environ, "LD_PRELOAD": str(shim)}, capture_output=True, text=True)
    acked = acks.read_bytes().count(b"ack") if acks.exists() else 0
    held = (store / "value").read_bytes() if (store / "value").exists() else b""
    return told.stdout.split()[0], told.stderr, acked, held


def test_the_shim_fails_exactly_the_call_it_is_told_to(shim: Path, tmp_path: Path) -> None:
    calls, error, acked, held = tiny(shim, tmp_path / "count", 0, 1)
    assert (calls, error) == ("owsrs" * tinystore.VALUES, "")
    assert (acked, held) == (tinystore.VALUES, tinystore.text(tinystore.VALUES))
    _, error, acked, held = tiny(shim, tmp_path / "sync", 8, KINDS["EIO once"])
    assert "Input/output error" in error
    assert (acked, held) == (1, tinystore.text(1))
    _, error, acked, held = tiny(shim, tmp_path / "full", 12, KINDS["ENOSPC from then on"])
    assert "No space left" in error
    assert (acked, held) == (2, tinystore.text(2))
    calls, error, acked, held = tiny(shim, tmp_path / "short", 2, KINDS["short write"])
    assert calls.startswith("owwsrs")
    assert (error, acked) == ("", tinystore.VALUES)
    calls, error, acked, _ = tiny(shim, tmp_path / "torn", 2, FAULTS["short write, then ENOSPC"])
    assert calls.startswith("oww") and "No space left" in error
    assert acked == 0


def test_the_shim_plays_a_file_system_that_cannot_rename_without_overwriting(shim: Path, tmp_path: Path) -> None:
    script = """
import ctypes, errno, sys
libc = ctypes.CDLL(None, use_errno=True)
for plain in (False, True):
    if plain:
        libc.fault_plain()
    for flags in (1, 0):
        open("a", "w").close()
        failed = libc.renameat2(-100, b"a", -100, b"b%d" % flags, flags)
        print(errno.errorcode[ctypes.get_errno()] if failed else "done")
"""
    told = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "LD_PRELOAD": str(shim)}, cwd=tmp_path, capture_output=True
    )
    assert told.stdout.split() == [b"done", b"done", b"EINVAL", b"done"]


@pytest.mark.parametrize(
    ("defect", "at", "kind"), [("unchecked short write", 17, "short write"), ("swallowed error", 17, "EIO once")]
)
def test_defects_of_a_tiny_store_show(shim: Path, tmp_path: Path, defect: str, at: int, kind: str) -> None:
    _, _, acked, held = tiny(shim, tmp_path / "bad", at, KINDS[kind], defect)
    assert held not in (tinystore.text(acked), tinystore.text(acked + 1))


def test_shim_is_absent_from_this_process() -> None:
    assert not hasattr(ctypes.CDLL(None), "fault_arm")


def test_a_fault_at_every_ninth_call_is_an_error_and_never_damage(workshop: Path, saboteurs: list[Zygote]) -> None:
    def half(number: int) -> Faults:
        folder = workshop / str(number)
        folder.mkdir()
        saboteur = Saboteur(saboteurs[number], folder, seed=1)
        return saboteur.run(fault for n, fault in enumerate(saboteur.faults(every=9)) if n % 2 == number)

    with ThreadPoolExecutor(2) as pool:
        figures = list(pool.map(half, (0, 1)))
    total = Faults.total(figures)
    assert total.failures == []
    assert total.runs > total.calls // 9 * 4
    assert total.reported and total.absorbed


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_planted_defect_shows(workshop: Path, saboteurs: list[Zygote], defect: str) -> None:
    saboteur = Saboteur(saboteurs[0], workshop, seed=1, mutant=defect)
    aim = DEFECTS[defect]
    assert saboteur.run(iter([*saboteur.faults(during=aim.during)][:: aim.step])).failures
