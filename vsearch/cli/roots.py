"""``vsearch roots``: the folders that pictures come from, and other places for them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from vsearch.cli.console import emit, say, show
from vsearch.cli.locate import find_index, index_option
from vsearch.cli.output import json_option

if TYPE_CHECKING:
    from vsearch.types import RootInfo, Settings

WORDS = {
    "raw": "--raw",
    "archives": "--archives",
    "hidden": "--hidden",
    "follow_links": "--follow-links",
    "all_files": "all files",
}


@click.group(invoke_without_command=True)
@index_option
@json_option
@click.pass_context
def roots(context: click.Context, index_path: str | None, as_json: bool) -> None:
    """List the folders that pictures come from: how many, whether they are there, the options they keep."""
    context.obj = index_path
    if context.invoked_subcommand is not None:
        return
    from vsearch.index import open_index
    from vsearch.present import json_line, path_fields, printable
    from vsearch.present.grid import Grid

    with open_index(find_index(index_path), on_notice=say) as index:
        found = index.roots()
    if as_json:
        lines = (json_line({**path_fields(root.path), **_fields(root)}) for root in found)
        emit("".join(lines).encode("utf-8"))
    elif found:
        rows = [
            (printable(root.path.decode("utf-8", "replace")), f"{root.images:,}", _state(root), options(root.settings))
            for root in found
        ]
        show(Grid(("root", "pictures", "", "options"), rows))
    else:
        say("no folder was indexed; single files and vectors have none")


@roots.command()
@click.argument("old")
@click.argument("new")
@click.pass_obj
def move(index_path: str | None, old: str, new: str) -> None:
    """Tell the index that the folder OLD is NEW now. No picture is read; ids, vectors and tags stay."""
    from vsearch.index import open_index
    from vsearch.present import printable

    with open_index(find_index(index_path), write=True, on_notice=say) as index:
        count = index.move_root(old, new)
    emit(f"{count:,} pictures moved from {printable(old)} to {printable(new)}\n")


def options(settings: Settings) -> str:
    """Settings as options of ``vsearch index``."""
    told = [word for name, word in WORDS.items() if settings.get(name)]
    if every := settings.get("every"):
        told.append(f"--frames {every:g}")
    excluded = settings.get("exclude")
    if isinstance(excluded, list):
        told += [f"--exclude {shlex.quote(pattern)}" for pattern in excluded]
    return " ".join(told)


def _state(root: RootInfo) -> str:
    gone = f"{root.missing:,} gone" if root.missing else ""
    return gone if root.there else "not there"


def _fields(root: RootInfo) -> dict[str, Any]:
    return {"images": root.images, "missing": root.missing, "there": root.there, "settings": root.settings}
