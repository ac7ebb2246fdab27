"""``vsearch export``: vectors and what is known of the pictures, as other programs want them."""

from __future__ import annotations

import click

from vsearch.cli.output import json_option
from vsearch.cli.progress import progress
from vsearch.cli.say import emit, say
from vsearch.cli.where import find_index, index_option


@click.command("export")
@click.argument("destination", metavar="DESTINATION")
@click.option(
    "--to",
    "kind",
    type=click.Choice(["clip-retrieval"]),
    required=True,
    help="clip-retrieval: a new folder with img_emb/ and metadata/.",
)
@click.option("--where", metavar="CONDITION", help="Only pictures for which this holds, as for vsearch query.")
@index_option
@json_option
def export(destination: str, kind: str, where: str | None, index_path: str | None, as_json: bool) -> None:
    """Write vectors, names, captions and columns for another program.

    What cannot be found (pictures that are gone) is left out. Nothing is embedded again.
    """
    place = find_index(index_path)
    from vsearch.index import open_index
    from vsearch.present import json_line, printable

    with open_index(place, on_notice=say) as index, progress() as shower:
        report = index.export_clip_retrieval(destination, where=where, progress=shower)
    if as_json:
        emit(json_line({"exported": report.exported, "to": destination}).encode("utf-8"))
    else:
        emit(f"{report.exported:,} pictures of {printable(str(place))} → {printable(destination)}\n")
