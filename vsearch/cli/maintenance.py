"""``vsearch check``, ``repair``, ``build``, ``compact``, ``backup`` and ``restore``: keeping an index in order."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from vsearch.cli.console import emit, say, show
from vsearch.cli.info import index_summary, rows
from vsearch.cli.locate import encoder_option, index_place
from vsearch.cli.output import json_option
from vsearch.cli.run import Exit
from vsearch.cli.units import DURATION, SIZE


@click.command()
@json_option
@index_place
def check(place: Path, as_json: bool) -> int:
    """Compare every byte of an index with its checksum. Changes nothing."""
    from vsearch.index import open_index
    from vsearch.present import json_line, printable

    with open_index(place, on_notice=say) as index:
        report = index.check()
    if as_json:
        emit(json_line(asdict(report)).encode("utf-8"))
    else:
        found = "".join(printable(problem) + "\n" for problem in report.problems) or "no problems\n"
        looked = f"{report.images:,} pictures, {report.bytes / 1e6:,.1f} MB in {report.seconds:.1f} s"
        emit(f"{found}compared {looked}\n")
    if report.problems:
        say(f"mend it with: vsearch repair {place}")
        return Exit.ERROR
    return Exit.DONE


@click.command()
@json_option
@index_place
@encoder_option
def repair(place: Path, as_json: bool) -> None:
    """Mend what check finds: rebuild what is derived, embed damaged vectors again."""
    from vsearch.index import open_index
    from vsearch.present import json_line

    with open_index(place, write=True, on_notice=say) as index:
        actions = index.repair().actions
    if as_json:
        emit(json_line({"actions": list(actions)}).encode("utf-8"))
    else:
        emit("\n".join(actions or ["nothing to repair"]) + "\n")


@click.command()
@click.option(
    "--recipe", metavar="NAME|FILE", default="auto", show_default=True, help="A kind of index; flat searches exactly."
)
@click.option(
    "--recall", metavar="R", type=float, default=0.95, show_default=True, help="Share of the best ten to find for text."
)
@click.option("--memory", metavar="SIZE", type=SIZE, help="Most memory that building may take, as 2G or 500M.")
@click.option("--latency", metavar="TIME", type=DURATION, help="Longest that a search may take, as 20ms or 0.1s.")
@json_option
@index_place
@encoder_option
def build(place: Path, recipe: str, recall: float, memory: int | None, latency: float | None, as_json: bool) -> None:
    """Build the FAISS index that makes large collections fast to search.

    It is tuned for text and for pictures as queries, by measuring against exact search.
    """
    from vsearch.index import open_index
    from vsearch.present import json_line

    with open_index(place, write=True, on_notice=say) as index:
        chosen = Path(recipe) if recipe.endswith(".toml") else recipe
        report = index.build(chosen, recall=recall, memory=memory, latency=latency)
    if as_json:
        emit(json_line(report).encode("utf-8"))
    else:
        show(rows(index_summary(report)))


@click.command()
@json_option
@index_place
def compact(place: Path, as_json: bool) -> None:
    """Give back the room of forgotten pictures."""
    from vsearch.index import open_index
    from vsearch.present import json_line

    with open_index(place, write=True, on_notice=say) as index:
        gone = index.compact()
    emit(json_line({"vectors": gone}).encode("utf-8") if as_json else f"{gone:,} forgotten vectors removed\n")


@click.command()
@click.argument("destination", metavar="DESTINATION")
@index_place
def backup(place: Path, destination: str) -> None:
    """Copy an index and what its server was given to a new place, also while it is written."""
    from vsearch.index import open_index
    from vsearch.present import printable

    with open_index(place, on_notice=say) as index:
        index.backup(destination)
    emit(f"{printable(str(place))} copied to {printable(destination)}\n")


@click.command()
@click.argument("source", metavar="BACKUP")
@click.argument("destination", metavar="DESTINATION")
def restore(source: str, destination: str) -> None:
    """Make an index of a backup at a new place. The backup stays as it is."""
    from vsearch.index import restore as restore_index
    from vsearch.present import printable

    restore_index(source, destination)
    emit(f"{printable(source)} restored to {printable(destination)}\n")
