"""``vsearch forget``: take pictures out of an index."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from vsearch.cli.console import emit, say
from vsearch.cli.locate import find_index, index_option
from vsearch.cli.output import json_option
from vsearch.cli.run import Exit
from vsearch.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vsearch.index import Index

MOST_SHARE = 0.1
NAMED = 10  # pictures that a dry run names


@click.command()
@click.argument("path", metavar="[FOLDER]", required=False)
@click.option("--ids", metavar="ID,ID,…", help="The pictures with these ids, which vsearch query --json shows.")
@click.option("--where", metavar="SQL", help="The pictures for which a condition holds, as in vsearch query --where.")
@click.option("--dry-run", is_flag=True, help="Only tell which pictures would be forgotten.")
@click.option("--yes", is_flag=True, help="Also when that is more than a tenth of all pictures.")
@index_option
@json_option
def forget(
    path: str | None,
    ids: str | None,
    where: str | None,
    dry_run: bool,
    yes: bool,
    index_path: str | None,
    as_json: bool,
) -> int:
    """Take pictures out of an index: all below FOLDER (or in an archive), some ids, or those of a condition.

    Files are never touched. Pictures of a folder that is indexed come back when it is indexed again.
    """
    if sum(told is not None for told in (path, ids, where)) != 1:
        raise click.UsageError("Name what to forget: a FOLDER, or --ids 3,17, or --where SQL.")
    from vsearch.index import open_index
    from vsearch.present import json_line

    with open_index(find_index(index_path), write=not dry_run, on_notice=say) as index:
        chosen = _chosen(index, path, ids, where)
        total = len(index.all_ids())
        forgotten = 0
        if dry_run:
            _name(index, chosen)
        elif len(chosen) > MOST_SHARE * total and not yes:
            say(
                f"{len(chosen):,} of {total:,} pictures would be forgotten, more than a tenth: nothing was. If that is "
                f"right, add --yes"
            )
            return Exit.ERROR
        else:
            forgotten = index.forget(path) if path is not None else index.remove(chosen)
    if as_json:
        emit(json_line({"chosen": len(chosen), "forgotten": forgotten, "pictures": total}).encode("utf-8"))
    else:
        told = f"{len(chosen):,} of {total:,} pictures would be" if dry_run else f"{forgotten:,} of {total:,} pictures"
        emit(f"{told} forgotten\n")
    return Exit.DONE


def _chosen(index: Index, path: str | None, ids: str | None, where: str | None) -> Sequence[int]:
    if path is not None:
        if not index.knows(path):
            raise QueryError(f"no picture of the index lies below {path}; see what there is with: vsearch roots")
        return [int(id) for id in index.ids_below(path)]
    if where is not None:
        return [int(id) for id in index.ids_matching(where)]
    known = set(index.all_ids().tolist())
    chosen = [_number(word) for word in (ids or "").split(",")]
    unknown = next((id for id in chosen if id not in known), None)
    if unknown is not None:
        raise QueryError(f"no picture has the id {unknown}; ids are shown by: vsearch query --json")
    return list(dict.fromkeys(chosen))


def _number(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise click.UsageError(f"--ids takes numbers, as 3,17; this is {word[:40]!r}") from None


def _name(index: Index, ids: Sequence[int]) -> None:
    from vsearch.present import printable

    with index.store.snapshot() as snapshot:
        records = [snapshot.record(id) for id in ids[:NAMED]]
    for record in records:
        if record is not None:
            say(printable(os.fsdecode(record.path)))
    if len(ids) > NAMED:
        say(f"and {len(ids) - NAMED:,} more")
