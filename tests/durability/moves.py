"""``dups --apply`` and ``dups --undo`` as the harnesses run them, in processes that may die, on disks that may fail.

A disk holds an index, ``store``, and the pictures that it is of, in ``photos``; duplicates are moved to ``out``.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import vsearch
from tests.durability import filecalls, move_defects
from tests.durability.jobs import Log, Shim
from tests.durability.model import Op
from vsearch import duplicates, files
from vsearch.errors import SourceError, VsearchError

HOUSES = ("one", "two", "three")
"""Folders of pictures: each holds a copy of every picture, under the same name."""
ODD = os.fsdecode(b"odd \xff.png")
RIVAL = b"of a rival"

Line = tuple[str, str, str]
"""What became of a file: where it was, where it is ("" for the same place), and why."""


def prepare(disk: str, groups: int) -> None:
    """Make pictures and an index of them, and files that are nobody's business in both folders.

    Those of the last group differ, all others are the same in each house.
    """
    from PIL import Image

    root = Path(disk)
    for number, house in enumerate(HOUSES):
        (root / "photos" / house).mkdir(parents=True)
        for group in range(groups):
            path = root / "photos" / house / (f"{group}.png" if group else ODD)
            Image.new("RGB", (8 + group, 8), (number, 0, 0) if group == groups - 1 else (9, 9, 9)).save(path)
            os.utime(path, ns=(10**18 + number, 10**18 + number))
    (root / "photos" / "one" / "notes.txt").write_text("not a picture")
    (root / "out").mkdir()
    (root / "out" / "1.png").write_text("was here before")
    with vsearch.create(root / "store", encoder="toy") as index:
        index.add(vsearch.folder(root / "photos"))


def apply(disk: str, log: str, keep: str, **mishaps: Any) -> list[Line]:
    """Move what is a duplicate; ``keep`` names the house whose pictures stay."""
    root, told, begin = Path(disk), Log(log), _mishaps(disk, **mishaps)
    with vsearch.open(root / "store", write=True) as index:
        plan = index.duplicates(keep=f"folder:{root / 'photos' / keep}", near=False)
        told.begin(Op(0, "apply"))
        begin()
        lines = _lines(index.move_duplicates(plan, root / "out")[0])
        told.ack(Op(0, "apply"))
    return lines


def undo(disk: str, log: str, journals: list[str], times: int = 1, **mishaps: Any) -> list[list[Line | str]]:
    """Undo journals, in this order, once or several times; for the latter the index must be sound.

    Returns for each time the lines of files, and a line of text for each journal that was refused or is damaged.
    """
    told, begin = Log(log), _mishaps(disk, **mishaps)
    if times > 1 and (wrong := look(disk, again=False)):
        raise AssertionError(wrong)
    told.begin(Op(0, "undo"))
    begin()
    found = [[line for name in journals for line in _undo(Path(name))] for _ in range(times)]
    told.ack(Op(0, "undo"))
    return found


def _undo(journal: Path) -> list[Line | str]:
    try:
        undone = duplicates.undo(journal)
    except SourceError as error:
        return [str(error)]
    return [*_lines(undone.files), *(f"line {number} is damaged" for number in undone.damaged)]


def _lines(moved: Any) -> list[Line]:
    return [(os.fsdecode(one.path), os.fsdecode(one.to or b""), one.why) for one in moved]


def _mishaps(
    disk: str, die_at: int = 0, rival_at: int = 0, deadly: bool = False, plain: bool = False, mutant: str = ""
) -> Callable[[], object]:
    """Prepare what goes wrong; the file calls are counted from when the result is called.

    die_at: the file call at which the process dies.  rival_at: the renaming before which another program takes the
    name; deadly: and that we do not survive.  plain: the file system cannot rename without overwriting.  mutant: a
    planted defect.
    """
    move_defects.apply(mutant)
    if plain:
        Shim().plain_renames()
    if rival_at:
        _rival(Path(disk), rival_at, deadly)
    return lambda: filecalls.counted(die_at)


def rivals_of(disk: Path) -> Path:
    """The list of files that rivals have made, beside the disk; one that was killed over it is missing there."""
    return disk.with_name("rivals")


def _rival(disk: Path, at: int, deadly: bool) -> None:
    """Before a renaming, another program makes a file of that name, between our looking and our renaming."""
    rename_new, calls = files.rename_new, [0]

    def late(old: Path, new: Path) -> None:
        calls[0] += 1
        if calls[0] == at and not os.path.lexists(new):
            whole = disk.with_name("rival")  # Made elsewhere: the rival is of this process, and may be killed with it.
            whole.write_bytes(RIVAL)
            whole.rename(new)
            with open(rivals_of(disk), "ab") as log:
                log.write(os.fsencode(new) + b"\n")
        try:
            rename_new(old, new)
        except FileExistsError:
            if deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            raise

    files.rename_new = late


def look(disk: str, again: bool) -> list[str]:
    """What is wrong with the index.  again: index the folder again, after which it must know all pictures."""
    root = Path(disk)
    with vsearch.open(root / "store", write=True) as index:
        wrong = [str(problem) for problem in index.check().problems]
        if again:
            report = index.add(vsearch.folder(root / "photos"))
            pictures = sum(len(list((root / "photos" / house).glob("*.png"))) for house in HOUSES)
            if report.added or report.failed or len(index) != pictures:
                wrong.append(f"of {pictures} pictures the index knows {len(index)} after {report}")
    return wrong


def left(disk: str) -> int:
    """How many pictures the index still takes for duplicates, or for being where they no longer are."""
    with vsearch.open(Path(disk) / "store") as index:
        with index.store.snapshot() as snapshot:
            shown = [record.path for _, record in snapshot.items() if not record.missing]
        return index.duplicates(near=False).others + sum(not os.path.lexists(path) for path in shown)


def on_bad_disk(disk: str, command: str, at: int, kind: int, go_on: bool, plain: bool, mutant: str = "") -> Any:
    """Move pictures, or move them back, while the ``at``-th file call fails.

    go_on: afterwards try again on the disk as it is, and then on one that is well.
    Returns the calls that were made, how many failed, and for each try the error or the lines of files.
    """
    move_defects.apply(mutant)
    shim = Shim()
    if plain:
        shim.plain_renames()
    run = {"apply": _apply_once, "undo": _undo_once}[command]
    shim.arm(disk, at, kind)
    tries = [_try(run, Path(disk))]
    calls, struck = shim.names, shim.struck
    if go_on:
        tries.append(_try(run, Path(disk)))
    shim.disarm()
    if go_on:
        tries.append(_try(run, Path(disk)))
    return {"calls": calls, "struck": struck, "tries": tries}


def _try(run: Callable[[Path], list[Line]], root: Path) -> dict[str, Any]:
    try:
        return {"error": "", "lines": run(root)}
    except VsearchError as error:
        return {"error": f"{type(error).__name__}: {error}", "lines": []}


def _apply_once(root: Path) -> list[Line]:
    with vsearch.open(root / "store", write=True) as index:
        plan = index.duplicates(keep=f"folder:{root / 'photos' / HOUSES[0]}", near=False)
        return _lines(index.move_duplicates(plan, root / "out")[0])


def _undo_once(root: Path) -> list[Line]:
    return [line for path in sorted((root / "out").glob("*.jsonl")) for line in _lines(duplicates.undo(path).files)]


def recorded(disk: str, log: str, report: str, mutant: str) -> None:
    """What runs under strace: apply and undo, with a line in the log for each renaming that is durable.

    report: a file for the renamings, old and new, by the number that the log gives, and for the name of the defect.
    """
    move_defects.apply(mutant)
    rename_new, fd, done = files.rename_new, os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), list[Any]()

    def telling(old: Path, new: Path) -> None:
        rename_new(old, new)
        os.write(fd, b"ack %d\n" % len(done))
        done.append((str(old), str(new)))

    files.rename_new = telling
    _apply_once(Path(disk))
    _undo_once(Path(disk))
    Path(report).write_text(json.dumps({"renames": done, "mutant": mutant}))
