"""``vsearch query``."""

from __future__ import annotations

from pathlib import Path

import click

from vsearch.cli.output import Output, output_options
from vsearch.cli.run import Exit
from vsearch.cli.say import say
from vsearch.cli.where import find_index, index_option

MOST = 100_000


@click.command()
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@click.option("--image", "images", metavar="FILE", multiple=True, help="A picture to search with.")
@click.option(
    "--like", "ids", metavar="ID", type=click.IntRange(0), multiple=True, help="An indexed picture to search with."
)
@click.option(
    "--vector",
    "vectors",
    metavar="FILE.npy",
    multiple=True,
    help="A vector to search with, made elsewhere by the model of the index: (dim,) floats.",
)
@click.option(
    "-k",
    "--count",
    "k",
    type=click.IntRange(1, MOST),
    default=10,
    show_default=True,
    help="How many pictures to find.",
)
@click.option(
    "--offset", type=click.IntRange(0, MOST), default=0, help="Leave out so many of the best: the next page of -k."
)
@click.option(
    "--where",
    metavar="CONDITION",
    help="Only pictures for which this holds, in SQL: \"taken >= '2024-01-01' and width >= 2000\". "
    "vsearch info lists the columns.",
)
@index_option
@output_options
def query(
    texts: tuple[str, ...],
    images: tuple[str, ...],
    ids: tuple[int, ...],
    vectors: tuple[str, ...],
    k: int,
    offset: int,
    where: str | None,
    index_path: str | None,
    output: Output,
) -> int:
    """Find the pictures that fit a sentence, a picture, or several of them at once.

    Several texts and pictures are averaged. Results come best first, with their cosine as score.
    """
    if not (texts or images or ids or vectors):
        raise click.UsageError(
            'Nothing to search for: give a text, as in vsearch query "red apple", --image, --like or --vector.'
        )
    place = find_index(index_path)
    from vsearch.index import open_index
    from vsearch.sources.vectors import read_vector
    from vsearch.types import Part, Query

    told = Query(*texts, *map(Path, images), *map(Part, ids), *(read_vector(Path(file)) for file in vectors))
    with open_index(place, on_notice=say) as index:
        # A vector is taken for a text unless there is a picture: text is searched more widely.
        hits = index.search(told, k, modality="image" if images or ids else "text", where=where, offset=offset)
        images_there = 0 if hits else len(index)
    output.present(hits, _words(texts, (*images, *vectors), ids))
    if hits:
        return Exit.DONE
    through = " that the filter lets through" if where is not None else ""
    say(f"nothing found{through} among the {images_there:,} pictures of {place}")
    return Exit.NOTHING_FOUND


def _words(texts: tuple[str, ...], images: tuple[str, ...], ids: tuple[int, ...]) -> str:
    """The query as the title of a page."""
    return " + ".join([*texts, *(Path(image).name for image in images), *(f"picture {id}" for id in ids)])
