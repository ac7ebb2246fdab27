"""``vsearch import``: vectors that were made elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vsearch.cli.console import emit, say
from vsearch.cli.locate import ENDING, VARIABLE
from vsearch.cli.output import json_option
from vsearch.cli.progress import progress
from vsearch.errors import VsearchError

if TYPE_CHECKING:
    from vsearch.index import Index
    from vsearch.sources import EmbeddedSource


@click.command("import")
@click.argument("folder", metavar="[FOLDER]", required=False)
@click.option("--vectors", metavar="FILE.npy", help="(n, dim) floats, one row for each picture.")
@click.option(
    "--meta",
    metavar="FILE",
    help="A .parquet, .csv, .tsv or .jsonl table with a row for each vector: uri, caption, width, height, and any "
    "other columns for --where.",
)
@click.option(
    "--from", "kind", type=click.Choice(["clip-retrieval"]), help="What wrote FOLDER: its vectors and its tables."
)
@click.option(
    "--encoder",
    metavar="NAME",
    help="What made the vectors, where vsearch has it; compared with pictures that are here.",
)
@click.option("--pictures", metavar="FOLDER", help="Where the pictures are, when the table has no absolute paths.")
@click.option(
    "--name", metavar="NAME", help="What made the vectors; kept with a new index. Default: the name of the file."
)
@click.option(
    "--index", "index_path", metavar="INDEX", help=f"Default: ${VARIABLE}, else ./FILE{ENDING}. Made when not there."
)
@json_option
def bring(
    folder: str | None,
    vectors: str | None,
    meta: str | None,
    kind: str | None,
    encoder: str | None,
    pictures: str | None,
    name: str | None,
    index_path: str | None,
    as_json: bool,
) -> None:
    """Take in vectors that were made elsewhere.

    The pictures need not exist. Without a table, or where it has no uri, row 7 is called FILE.npy#7. Rows whose uri
    is known already are replaced. Search with: vsearch query --vector FILE.npy

    Name the encoder that made the vectors, and sentences and pictures can be searched for, and vsearch index adds to
    them. Vectors of any length are taken.

    With --from clip-retrieval FOLDER everything that clip-retrieval inference wrote there is taken in.
    """
    given = [one for one in (vectors, kind) if one]
    if len(given) != 1 or (kind is None) != (folder is None):
        raise click.UsageError("Give --vectors FILE.npy, or --from clip-retrieval FOLDER.")
    if name and encoder:
        raise click.UsageError("Give --encoder for what vsearch has, or --name for anything else, not both.")
    if meta and kind:
        raise click.UsageError("--from reads its own tables; --meta belongs to --vectors.")
    from vsearch import sources

    if vectors is not None:
        given_vectors = sources.vector_file(vectors, meta=meta, pictures=pictures)
        for remark in given_vectors.remarks:
            say(remark)
        source: EmbeddedSource = given_vectors
    elif folder is not None:
        source = sources.clip_retrieval(folder, pictures=pictures)
    _bring(source, encoder, name, index_path, as_json)


def _bring(
    source: EmbeddedSource, encoder: str | None, name: str | None, index_path: str | None, as_json: bool
) -> None:
    place = _place(index_path, Path(source.name))
    whose = encoder or _external(name, Path(source.name), source.dim)
    with _opened(place, whose, bool(encoder or name)) as index, progress() as shower:
        report = index.add_embedded(source, progress=shower)
        count = len(index)
    if report.lowest is not None:
        say(f"{report.compared} pictures embedded anew and compared: lowest cosine {report.lowest:.4f}")
    elif encoder:
        say("no picture is here to compare with: that the vectors are of this encoder is taken on trust")
    _tell(report.added, count, Path(source.name), place, as_json)


def _tell(added: int, count: int, source: Path, place: Path, as_json: bool) -> None:
    from vsearch.present import json_line, printable

    if as_json:
        emit(json_line({"added": added, "images": count, "index": str(place)}).encode("utf-8"))
    else:
        emit(f"{added:,} vectors of {printable(str(source))} added → {printable(str(place))}\n")


def _place(index_path: str | None, source: Path) -> Path:
    return Path(index_path or os.environ.get(VARIABLE) or source.absolute().stem + ENDING)


def _external(name: str | None, source: Path, dim: int) -> str:
    stem = source.absolute().stem
    told = name or "".join(c if c.isascii() and (c.isalnum() or c in "-_.+") else "-" for c in stem) or "vectors"
    return f"external:{told}:{dim}"


@contextmanager
def _opened(place: Path, encoder: str, named: bool) -> Iterator[Index]:
    """The index, open for writing.  One that was made for vectors that are then refused does not stay behind."""
    from vsearch import files

    made, empty = not os.path.lexists(place), False
    try:
        with _open(place, encoder, named) as index:
            try:
                yield index
            except VsearchError:
                empty = made and not len(index)
                raise
    finally:
        if empty:
            files.discard(place)


def _open(place: Path, encoder: str, named: bool) -> Index:
    """Open the index for writing, or make it.  named: the encoder must be that of an index that exists."""
    from vsearch.embed import load_encoder
    from vsearch.index import create, open_index

    if not os.path.lexists(place):
        return create(place, encoder, on_notice=say)
    return open_index(place, write=True, encoder=load_encoder(encoder) if named else None, on_notice=say)
