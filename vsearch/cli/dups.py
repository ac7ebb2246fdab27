"""``vsearch dups``: pictures that are there more than once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsearch.cli.console import emit, say, show
from vsearch.cli.locate import find_index, index_option
from vsearch.cli.output import json_option
from vsearch.cli.run import Exit
from vsearch.cli.units import Within

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vsearch.duplicates import Duplicates, Group, Moved, Picture
    from vsearch.index import Index


@click.command()
@click.option("--identical", is_flag=True, help="Only files with the same bytes; no picture is read.")
@click.option(
    "--threshold",
    metavar="COSINE",
    type=Within(-1, 1),
    help="Compare pictures from this cosine on. Default: measured with changed pictures of the collection.",
)
@click.option(
    "--keep",
    metavar="RULE",
    default="largest",
    show_default=True,
    help="Which to keep: largest, oldest, newest, or folder:PATH for those below PATH.",
)
@click.option("--within", is_flag=True, help="Also frames of one video, and members of one archive, among themselves.")
@click.option("--apply", is_flag=True, help="Move the others, to the folder of --move-to.")
@click.option("--move-to", "folder", metavar="FOLDER", help="Where --apply moves them; on the same disk.")
@click.option("--undo", "journal", metavar="JOURNAL", help="Move back what a journal in such a folder lists.")
@index_option
@json_option
def dups(
    identical: bool,
    threshold: float | None,
    keep: str,
    within: bool,
    apply: bool,
    folder: str | None,
    journal: str | None,
    index_path: str | None,
    as_json: bool,
) -> int:
    """List pictures that are there more than once, and which of them to keep.

    A plan only: nothing is touched, unless --apply moves what is not kept to the folder of --move-to. Nothing is ever
    deleted or overwritten, and --undo moves everything back.
    """
    if journal is not None:
        return _undo(Path(journal), as_json)
    if apply != (folder is not None):
        raise click.UsageError("--apply and --move-to FOLDER belong together.")
    place = find_index(index_path)
    from vsearch.index import open_index

    with open_index(place, write=apply, on_notice=say) as index:
        plan = index.duplicates(keep=keep, threshold=threshold, near=not identical, within=within)
        _say_found(plan, place)
        if not plan.groups:
            return Exit.NOTHING_FOUND
        if folder is not None:
            return _apply(index, plan, folder, as_json)
    if as_json:
        emit("".join(map(_line, plan.groups)).encode("utf-8"))
    else:
        _table(plan.groups)
    return Exit.DONE


def _say_found(plan: Duplicates, place: Path) -> None:
    near = "" if plan.threshold is None or not plan.pictures else f" (cosine from {plan.origin})"
    say(
        f"{plan.others:,} of {plan.pictures:,} pictures of {place} are duplicates, in {len(plan.groups):,} groups{near}"
    )
    if plan.unread:
        say(f"{plan.unread:,} pictures with near neighbours cannot be read, and were not compared")


def _line(group: Group) -> str:
    from vsearch.present import json_line

    return json_line({"keep": _fields(group.kept), "others": [_other(other) for other in group.others]})


def _fields(picture: Picture) -> dict[str, Any]:
    from vsearch.present import path_fields

    told = {"width": picture.width, "height": picture.height, "size": picture.size}
    return {"id": picture.id, **path_fields(picture.raw_path), **told}


def _other(picture: Picture) -> dict[str, Any]:
    near = {"identical": picture.identical, "score": round(picture.score, 6), "bits": picture.bits}
    return {**_fields(picture), **near}


def _table(groups: Iterable[Group]) -> None:
    from vsearch.present.grid import Grid

    rows: list[tuple[str, ...]] = []
    for group in groups:
        rows.append(("keep", "", *_columns(group.kept)))
        rows += [("", "same bytes" if p.identical else f"{p.score:.3f}", *_columns(p)) for p in group.others]
    show(Grid(("", "score", "pixels", "bytes", "picture"), rows))


def _columns(picture: Picture) -> tuple[str, str, str]:
    from vsearch.present import printable
    from vsearch.present.table import relative

    path = printable(relative(picture.raw_path, os.getcwdb()))
    return f"{picture.width}x{picture.height}", f"{picture.size:,}", path


def _apply(index: Index, plan: Duplicates, folder: str, as_json: bool) -> int:
    from vsearch.present import json_line, path_fields, printable

    done, journal = index.move_duplicates(plan, folder)
    moved = [one for one in done if one.to is not None]
    _say_why(done)
    if as_json:
        emit("".join(json_line({**path_fields(one.path), "to": path_fields(one.to or b"")}) for one in moved).encode())
    else:
        emit(f"{len(moved):,} pictures moved to {printable(folder)}\n")
    if moved:
        say(f"to move them back: vsearch dups --undo {journal}")
    return Exit.SOME_FAILED if any(one.why for one in done) else Exit.DONE


def _undo(journal: Path, as_json: bool) -> int:
    from vsearch.duplicates import undo
    from vsearch.present import json_line

    done = undo(journal)
    back = sum(one.to is not None for one in done.files)
    _say_why(done.files)
    for number in done.damaged:
        say(f"{journal}: line {number} is damaged; what it names was not moved back")
    told = {"moved": back, "damaged_lines": list(done.damaged)}
    emit(json_line(told).encode("utf-8") if as_json else f"{back:,} pictures moved back\n")
    if back:
        say("to find them again: vsearch index FOLDER")
    return Exit.SOME_FAILED if done.damaged or any(one.why for one in done.files) else Exit.DONE


def _say_why(files: Iterable[Moved]) -> None:
    for one in files:
        if one.why:
            where = "left where it is" if one.to is None else f"moved to {os.fsdecode(one.to)}"
            say(f"{os.fsdecode(one.path)}: {where}: {one.why}")
