"""``vsearch spaces``: the joint spaces of an index, going back to one, removing one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vsearch.cli.console import emit, say, show
from vsearch.cli.locate import encoder_option, find_index, index_option
from vsearch.cli.output import json_option
from vsearch.cli.progress import progress
from vsearch.cli.run import Exit

if TYPE_CHECKING:
    from vsearch.types import SpaceInfo, SpaceReport


@click.group(invoke_without_command=True)
@index_option
@json_option
@click.pass_context
def spaces(context: click.Context, index_path: str | None, as_json: bool) -> None:
    """List the encoders that the pictures of an index are embedded with, and which of them answers.

    vsearch index --encoder NAME adds one.
    """
    context.obj = index_path
    if context.invoked_subcommand is not None:
        return
    from vsearch.index import open_index
    from vsearch.present import json_line
    from vsearch.present.grid import Grid

    with open_index(find_index(index_path), on_notice=say) as index:
        found = index.spaces()
    if as_json:
        emit("".join(json_line(_fields(space)) for space in found).encode("utf-8"))
    else:
        rows = [(space.name, space.encoder.name, _amount(space), _state(space)) for space in found]
        show(Grid(("space", "encoder", "embedded", ""), rows))


@spaces.command()
@click.argument("name")
@encoder_option
@click.option("--yes", is_flag=True, help="Also when more than a tenth of the pictures is not there.")
@click.pass_obj
def use(index_path: str | None, name: str, yes: bool) -> int:
    """Answer with the space NAME (or the one of the encoder NAME), after embedding what it lacks."""
    from vsearch.index import open_index

    with open_index(find_index(index_path), write=True, on_notice=say) as index, progress() as shower:
        return tell(index.use_space(name, yes=yes, progress=shower))


@spaces.command()
@click.argument("name")
@click.pass_obj
def remove(index_path: str | None, name: str) -> None:
    """Forget the space NAME and its vectors; the one that answers cannot be removed."""
    from vsearch.index import open_index

    with open_index(find_index(index_path), write=True, on_notice=say) as index:
        emit(f"removed {index.remove_space(name)}\n")


def tell(report: SpaceReport) -> int:
    """Print what a change of the space did."""
    from vsearch.types import file_uri

    for failure in report.failures:
        say(f"{file_uri(failure.path)}: {failure.reason}")
    left_out = len(report.failures)
    if left_out:
        say(f"{left_out:,} pictures could not be read again and are not found now; vsearch index looks at them again")
    emit(f"{report.embedded:,} embedded in {report.seconds:.1f} s; {report.space} answers now\n")
    return Exit.SOME_FAILED if left_out else Exit.DONE


def _amount(space: SpaceInfo) -> str:
    return f"{space.embedded:,} of {space.images:,}"


def _state(space: SpaceInfo) -> str:
    return "answers" if space.live else "complete" if space.complete else "not complete"


def _fields(space: SpaceInfo) -> dict[str, Any]:
    return {
        "space": space.name,
        "encoder": space.encoder.name,
        "dim": space.encoder.dim,
        "embedded": space.embedded,
        "absent": space.absent,
        "images": space.images,
        "live": space.live,
        "complete": space.complete,
    }
