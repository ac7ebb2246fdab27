"""``vsearch export``: vectors and what is known of the pictures, as other programs want them."""

from __future__ import annotations

import os
from pathlib import Path

import click

from vsearch.cli.console import emit, say
from vsearch.cli.locate import find_index, index_option
from vsearch.cli.output import json_option
from vsearch.cli.progress import progress


@click.command("export")
@click.argument("destination", metavar="DESTINATION")
@click.option(
    "--to",
    "kind",
    type=click.Choice(["clip-retrieval", "milvus"]),
    required=True,
    help="clip-retrieval: a new folder with img_emb/ and metadata/. milvus: its address, or FILE.db for milvus-lite.",
)
@click.option("--collection", metavar="NAME", help="With milvus. Default: the name of the index.")
@click.option("--where", metavar="CONDITION", help="Only pictures for which this holds, as for vsearch query.")
@index_option
@json_option
def export(
    destination: str, kind: str, collection: str | None, where: str | None, index_path: str | None, as_json: bool
) -> None:
    """Write vectors, names, captions and columns for another program.

    What cannot be found (pictures that are gone) is left out. Nothing is embedded again. For milvus, $MILVUS_TOKEN is
    USER:PASSWORD or a key; typed again, the collection follows what has changed here.
    """
    if collection and kind != "milvus":
        raise click.UsageError("--collection belongs to --to milvus.")
    place = find_index(index_path)
    from vsearch.index import open_index
    from vsearch.present import json_line, printable

    with open_index(place, on_notice=say) as index, progress() as shower:
        if kind == "milvus":
            name = collection or _collection(place)
            token = os.environ.get("MILVUS_TOKEN", "")
            report = index.export_milvus(destination, name, token=token, where=where, progress=shower)
            destination = f"{destination}, collection {name}"
        else:
            report = index.export_clip_retrieval(destination, where=where, progress=shower)
    if as_json:
        counts = {"exported": report.exported, "removed": report.removed}
        emit(json_line({**counts, "to": destination}).encode("utf-8"))
    else:
        gone = f", {report.removed:,} removed" if report.removed else ""
        emit(f"{report.exported:,} pictures of {printable(str(place))} → {printable(destination)}{gone}\n")


def _collection(place: Path) -> str:
    """The name of an index as Milvus allows names: letters, digits and ``_``, no digit first."""
    word = "".join(c if c.isascii() and c.isalnum() else "_" for c in place.absolute().stem) or "images"
    return f"_{word}" if word[0].isdigit() else word
