"""Every state in which a power cut may leave a disk on which ``dups --apply`` and then ``--undo`` were run.

A rename between two folders is atomic here, as in the journals of ext4, XFS and Btrfs: without that, no order of
renames and fsyncs is safe.  How far a rename is made durable, each folder decides for itself.  Paths are absolute, in
the index and in journals, so each state is looked at in the place of the recorded disk.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from tests.durability import move_defects, moves
from tests.durability.crash import read_tree
from tests.durability.disk import Disk
from tests.durability.move_state import Before, has_whole_line, journals, scan
from tests.durability.move_trial import prepare
from tests.durability.powerloss import Inspector, PowerLoss, inspect, power_cuts, record_call, share_of
from tests.durability.zygote import Zygote
from vsearch import duplicates

CHECK = "tests.durability.move_powerloss:check_many"
GROUPS = 3
DEFECTS = {
    "line not durable": False,
    "folders not durable": False,
    "old folder first": False,
    "second name left": True,
}
"""What this harness must catch, and whether on a file system that cannot rename without overwriting."""


def run(zygote: Zygote, folder: Path, seed: int, most: int, plain: bool, mutant: str = "") -> PowerLoss:
    """Record one run of both commands and look at the different states of its disk, at most so many.

    plain: the file system cannot rename without overwriting.  With a planted defect, until it shows.
    """
    disk, log, end = folder / "disk", folder / "log", folder / "end"
    prepare(zygote, folder, GROUPS)
    shutil.copytree(folder / "fresh", disk, symlinks=True)
    start = Disk(read_tree(disk), atomic=True)
    arguments = (str(disk), str(log), str(folder / "report"), mutant)
    inject = ["renameat2:error=EINVAL"] if plain else []
    events = record_call("tests.durability.moves:recorded", arguments, folder / "trace", inject)
    disk.rename(end)
    figures = PowerLoss(seeds=1)
    cuts = power_cuts(events, disk, log, seed, share_of(events, disk, log, most), start, end)
    inspect(Inspector([zygote], seed, CHECK), cuts, folder, seed, most, figures, until_one=bool(mutant))
    return figures


def check_many(places: list[tuple[str, int]], seed: int, results: str) -> None:
    """Look at several states, each with the number of the last renaming that was acknowledged.

    The problems of each are a line of ``results``, so that they outlive a process that dies over one of them.
    """
    folder = Path(results).parent
    disk, report = folder / "disk", json.loads((folder / "report").read_text())
    move_defects.apply(report["mutant"])
    (folder / "fresh").rename(disk)
    before = Before(disk, inodes=False)
    disk.rename(folder / "fresh")
    with open(results, "w", buffering=1) as out:
        for root, acked in places:
            state = Path(root).parent
            state.rename(disk)
            try:
                told = _wrong(disk, before, report["renames"], acked)
            except Exception as error:
                told = [f"{type(error).__name__}: {error}"]
            disk.rename(state)
            out.write(json.dumps(told) + "\n")


def _wrong(disk: Path, before: Before, renames: list[tuple[str, str]], acked: int) -> list[str]:
    wrong = before.problems() + _lost(before, disk, renames, acked) + moves.look(str(disk), again=False)
    there = [path for path in journals(disk) if not path.stat().st_size or has_whole_line(path)]
    for path in 2 * there:
        undone = duplicates.undo(path)
        wrong += [moved.why for moved in undone.files if moved.why] + [f"line {n}" for n in undone.damaged]
    return wrong + before.changes()


def _lost(before: Before, disk: Path, renames: list[tuple[str, str]], acked: int) -> list[str]:
    """Renamings that were acknowledged and did not happen."""
    expected = {path: [path] for path in before.pictures}
    for number, (old, new) in enumerate(renames[: acked + 2]):
        (picture,) = (path for path, at in expected.items() if at[0] == os.fsencode(old))
        # The one behind the last that was acknowledged may have happened or not.
        expected[picture] = [os.fsencode(new)] if number <= acked else [os.fsencode(new), os.fsencode(old)]
    places = before.places(scan(disk))
    return [f"{path!r} is not at {at}" for path, at in expected.items() if not set(at).intersection(places[path])]
