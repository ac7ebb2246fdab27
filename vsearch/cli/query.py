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
    "-k",
    "--count",
    "k",
    type=click.IntRange(1, MOST),
    default=10,
    show_default=True,
    help="How many pictures to find.",
)
@index_option
@output_options
def query(
    texts: tuple[str, ...],
    images: tuple[str, ...],
    ids: tuple[int, ...],
    k: int,
    index_path: str | None,
    output: Output,
) -> int:
    """Find the pictures that fit a sentence, a picture, or several of them at once.

    Several texts and pictures are averaged. Results come best first, with their cosine as score.
    """
    if not (texts or images or ids):
        raise click.UsageError(
            'Nothing to search for: give a text, as in vsearch query "red apple", --image or --like.'
        )
    place = find_index(index_path)
    from vsearch.index import open_index
    from vsearch.types import Part, Query

    with open_index(place, on_notice=say) as index:
        hits = index.search(Query(*texts, *map(Path, images), *map(Part, ids)), k)
        images_there = 0 if hits else len(index)
    output.present(hits, _words(texts, images, ids))
    if hits:
        return Exit.DONE
    say(f"nothing found among the {images_there:,} pictures of {place}")
    return Exit.NOTHING_FOUND


def _words(texts: tuple[str, ...], images: tuple[str, ...], ids: tuple[int, ...]) -> str:
    """The query as the title of a page."""
    return " + ".join([*texts, *(Path(image).name for image in images), *(f"picture {id}" for id in ids)])
