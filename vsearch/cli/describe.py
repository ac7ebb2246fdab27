"""``vsearch describe``: words for a picture."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsearch.cli.console import emit, say, show
from vsearch.cli.locate import encoder_option, find_index, index_option
from vsearch.cli.output import json_option

if TYPE_CHECKING:
    from vsearch.present.grid import Grid
    from vsearch.types import Description


@click.command()
@click.argument("image", metavar="[IMAGE]", required=False)
@click.option("--id", "id", metavar="ID", type=click.IntRange(0), help="An indexed picture.")
@click.option(
    "-k", "--count", "k", type=click.IntRange(1, 100_000), default=5, show_default=True, help="Captions and phrases."
)
@index_option
@encoder_option
@json_option
def describe(image: str | None, id: int | None, k: int, index_path: str | None, as_json: bool) -> None:
    """Show the captions of the collection, and the phrases of a bundled vocabulary, that are nearest to a picture.

    The first call embeds them all, which may take a while; they are kept for the next.
    """
    if (image is None) == (id is None):
        raise click.UsageError("Name one picture: a file, as in vsearch describe photo.jpg, or --id ID.")
    place = find_index(index_path)
    from vsearch.index import open_index
    from vsearch.present import json_line
    from vsearch.types import Query

    with open_index(place, on_notice=say) as index:
        told = index.describe(Path(image) if image is not None else Query.like(int(id or 0)), k)
    if as_json:
        emit(json_line(_fields(told)).encode("utf-8"))
    else:
        show(_table(told))


def _fields(told: Description) -> dict[str, Any]:
    from vsearch.present import path_fields

    captions = [
        {"caption": hit.caption, "score": round(hit.score, 6), "ids": list(hit.ids), **path_fields(hit.raw_path)}
        for hit in told.captions
    ]
    return {"captions": captions, "phrases": [{"phrase": p.text, "score": round(p.score, 6)} for p in told.phrases]}


def _table(told: Description) -> Grid:
    from vsearch.present import printable
    from vsearch.present.grid import Grid
    from vsearch.present.table import one_line, relative

    here = os.getcwdb()
    rows = [
        (f"{hit.score:.3f}", one_line(hit.caption), printable(relative(hit.raw_path, here))) for hit in told.captions
    ]
    return Grid(("score", "caption", "of"), [*rows, *((f"{p.score:.3f}", p.text, "phrase") for p in told.phrases)])
