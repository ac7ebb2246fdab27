"""``vsearch import``: vectors that were made elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vsearch.cli.output import json_option
from vsearch.cli.progress import progress
from vsearch.cli.say import emit, say
from vsearch.cli.where import ENDING, VARIABLE

if TYPE_CHECKING:
    from vsearch.index import Index
    from vsearch.sources.vectors import Meta


@click.command("import")
@click.option("--vectors", metavar="FILE.npy", required=True, help="(n, dim) floats, one row for each picture.")
@click.option(
    "--meta",
    metavar="FILE",
    help="A .parquet, .csv, .tsv or .jsonl table with a row for each vector: uri, caption, width, height, and any "
    "other columns for --where.",
)
@click.option(
    "--name", metavar="NAME", help="What made the vectors; kept with a new index. Default: the name of the file."
)
@click.option(
    "--index", "index_path", metavar="INDEX", help=f"Default: ${VARIABLE}, else ./FILE{ENDING}. Made when not there."
)
@json_option
def bring(vectors: str, meta: str | None, name: str | None, index_path: str | None, as_json: bool) -> None:
    """Take in vectors that were made elsewhere.

    The pictures need not exist. Without a table, or where it has no uri, row 7 is called FILE.npy#7. Rows whose uri
    is known already are replaced. Search with: vsearch query --vector FILE.npy
    """
    from vsearch.present import json_line, printable
    from vsearch.sources.vectors import Meta, read_meta, read_npy

    file = Path(vectors)
    rows = read_npy(file)
    told = read_meta(Path(meta), len(rows)) if meta is not None else Meta()
    place = Path(index_path or os.environ.get(VARIABLE) or file.stem + ENDING)
    with _open(place, name, file, rows.shape[1]) as index, progress() as shower:
        ids = index.add_vectors(_uris(told, file, len(rows)), rows, told.columns, progress=shower)
        count = len(index)
    if as_json:
        emit(json_line({"added": len(ids), "images": count, "index": str(place)}).encode("utf-8"))
    else:
        emit(f"{len(ids):,} vectors of {printable(vectors)} added → {printable(str(place))}\n")


def _open(place: Path, name: str | None, file: Path, dim: int) -> Index:
    from vsearch.embed import load_encoder
    from vsearch.index import create, open_index

    told = name or "".join(c if c.isascii() and (c.isalnum() or c in "-_.+") else "-" for c in file.stem) or "vectors"
    full = f"external:{told}:{dim}"
    if not os.path.lexists(place):
        return create(place, full, on_notice=say)
    return open_index(place, write=True, encoder=load_encoder(full) if name else None, on_notice=say)


def _uris(meta: Meta, file: Path, count: int) -> list[str]:
    """The uris of the table; where there is none, the file and the number of the row."""
    given = meta.uris or [""] * count
    return [uri or f"{file.name}#{row}" for row, uri in enumerate(given)]
