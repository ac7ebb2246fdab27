"""``vsearch watch``."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

import click

from vsearch.cli.console import emit, say
from vsearch.cli.locate import index_for
from vsearch.cli.output import json_option
from vsearch.cli.run import Exit
from vsearch.cli.units import Within
from vsearch.cli.walk_options import walk_options


@click.command()
@click.argument("folders", metavar="FOLDER...", nargs=-1, required=True)
@click.option(
    "--index",
    "index_path",
    metavar="INDEX",
    help="Default: $VSEARCH_INDEX, else ./photos.vsearch for ./photos, and ./images.vsearch for several folders.",
)
@click.option("--encoder", metavar="NAME", help="What turns pictures into vectors, for an index that is made.")
@walk_options
@click.option(
    "--settle",
    metavar="S",
    type=Within(0),
    default=2.0,
    show_default=True,
    help="Seconds that a file must stand still before it is read.",
)
@click.option("--poll", is_flag=True, help="Look at every file again and again: for network disks that tell nothing.")
@click.option("--workers", metavar="N", type=click.IntRange(1, 1024), help="Decoding processes. Default: one per core.")
@click.option("--no-build", is_flag=True, help="Leave the FAISS index as it is, also when searching has become slow.")
@json_option
def watch(folders: tuple[str, ...], index_path: str | None, no_build: bool, as_json: bool, **options: Any) -> int:
    """Index folders, then keep the index in line with them as they change.

    A line is printed for each time that something was indexed. Between those, other commands may write to the index.
    Folders that were indexed before are followed with the options that they were indexed with (see vsearch roots).
    Ends with Ctrl-C or SIGTERM; what changes meanwhile is found when it is started again.
    """
    from vsearch.cli.index import json_report, left_out, summary
    from vsearch.following import watch as follow
    from vsearch.types import AddReport

    place = index_for(index_path, folders)
    first = True

    def told(report: AddReport) -> None:
        nonlocal first
        for warning in report.warnings:
            say(warning)
        if first or report.added or report.changed or report.moved or report.removed or report.failed:
            emit(json_report(report, place) if as_json else summary(report, place))
        if first:
            if report.left_out:
                say(left_out(report.left_out))
            say(f"following {', '.join(folders)}; stop with Ctrl-C")
        first = False

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        follow(place, folders, build=not no_build, on_report=told, on_notice=say, **options)
    except KeyboardInterrupt:
        say(f"stopped; everything indexed is in {place}")
    return Exit.DONE


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End on SIGTERM as on Ctrl-C: what is committed stays, what is in flight is read again the next time."""
    raise KeyboardInterrupt
