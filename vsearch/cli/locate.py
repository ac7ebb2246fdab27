"""Which index is meant."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from vsearch.errors import IndexNotFound

ENDING = ".vsearch"
VARIABLE = "VSEARCH_INDEX"
FALLBACK = "images" + ENDING

Command = Callable[..., Any]

index_option = click.option(
    "--index",
    "index_path",
    metavar="INDEX",
    help=f"The index to use. Default: ${VARIABLE}, else the one *{ENDING} in the current folder.",
)


def _name_encoder(_: click.Context, __: click.Parameter, name: str | None) -> None:
    if name is not None:
        from vsearch.embed import name_encoder

        name_encoder(name)


# For commands that embed with the encoder of the index.
encoder_option = click.option(
    "--encoder",
    metavar="NAME",
    expose_value=False,
    callback=_name_encoder,
    help="Load the encoder NAME, which the index names, though it was never used on this machine.",
)


def index_place(command: Command) -> Command:
    """Let a command take its index as an argument or, as everywhere, with --index."""
    argument = click.argument("index_argument", metavar="[INDEX]", required=False)

    @wraps(command)
    def named(index_argument: str | None, index_path: str | None, **options: Any) -> Any:
        if index_argument and index_path:
            raise click.UsageError("The index is named twice, as an argument and with --index.")
        return command(find_index(index_argument or index_path), **options)

    return argument(index_option(named))


def find_index(named: str | None) -> Path:
    """Return the index named, else $VSEARCH_INDEX, else the only one in the current folder.

    Raises IndexNotFound with what was seen and what to type.
    """
    told = named or os.environ.get(VARIABLE)
    if told:
        return Path(told)
    found = sorted(entry.name for entry in os.scandir(".") if _is_index(entry))
    if len(found) == 1:
        return Path(found[0])
    name_one = f"name one with --index, or set ${VARIABLE}"
    if found:
        raise IndexNotFound(f"there are several indexes here: {', '.join(found)}; {name_one}")
    raise IndexNotFound(f"there is no *{ENDING} in {os.getcwd()}; make one with: vsearch index FOLDER, or {name_one}")


def _is_index(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(ENDING) and not entry.name.startswith(".") and entry.is_dir()


def index_for(named: str | None, paths: tuple[str, ...]) -> Path:
    """Return where ``vsearch index`` puts its index.

    The one named, else $VSEARCH_INDEX, else beside the only folder to be indexed, by its name, also when only that
    index is left of the two; for the current
    folder inside it, and for anything else ``images.vsearch`` in the current folder.
    """
    told = named or os.environ.get(VARIABLE)
    if told:
        return Path(told)
    if len(paths) != 1 or (os.path.lexists(paths[0]) and not os.path.isdir(paths[0])):
        return Path(FALLBACK)
    folder = Path(os.path.abspath(paths[0]))
    if not folder.is_dir() and not folder.with_name(folder.name + ENDING).is_dir():
        return Path(FALLBACK)
    if not folder.name:
        return Path(FALLBACK)
    here = Path.cwd()
    beside = (here if folder == here else folder.parent) / (folder.name + ENDING)
    return beside.relative_to(here) if beside.is_relative_to(here) else beside
