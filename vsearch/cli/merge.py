"""``vsearch merge``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from vsearch.cli.console import emit, say
from vsearch.cli.locate import encoder_option
from vsearch.cli.output import json_option

if TYPE_CHECKING:
    from vsearch.types import MergeReport


@click.command()
@click.argument("destination", metavar="OUT")
@click.argument("shards", metavar="INDEX...", nargs=-1, required=True)
@click.option("--no-build", is_flag=True, help="Build no FAISS index, also when exact search is slow.")
@encoder_option
@json_option
def merge(destination: str, shards: tuple[str, ...], no_build: bool, as_json: bool) -> None:
    """Join indexes of the same encoder into a new one, OUT.

    Nothing is embedded again, and the indexes that are joined stay as they are. A picture that several of them know by
    its path is kept once, the last one. Stopped at any point, there is no OUT.
    """
    from vsearch.cli.index import catch_up
    from vsearch.index import open_index
    from vsearch.maintenance.merge import merge as join
    from vsearch.present import json_line

    report = join(destination, shards)
    for warning in report.warnings:
        say(warning)
    if not no_build:
        with open_index(destination, write=True, on_notice=say) as made:
            catch_up(made)
    told = {**asdict(report), "seconds": round(report.seconds, 3), "index": destination}
    emit(json_line(told).encode("utf-8") if as_json else _summary(report, destination))


def _summary(report: MergeReport, destination: str) -> str:
    from vsearch.present import printable

    counts = [(report.images, "pictures"), (report.repeated, "repeated"), (report.failures, "failed")]
    told = ", ".join(f"{count:,} {what}" for count, what in counts if count or what == "pictures")
    ids = "ids kept" if report.kept_ids else "ids given anew"
    return f"{told} of {report.shards} indexes in {report.seconds:.1f} s, {ids} → {printable(destination)}\n"
