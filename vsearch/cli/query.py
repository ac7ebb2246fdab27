"""``vsearch query``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from vsearch.cli.console import say
from vsearch.cli.locate import encoder_option, find_index, index_option
from vsearch.cli.output import Output, output_options
from vsearch.cli.query_options import Terms, terms_options
from vsearch.cli.run import Exit
from vsearch.cli.units import Within

if TYPE_CHECKING:
    from vsearch.index import Index
    from vsearch.types import Hit, Target

MOST = 100_000
MOST_DIGITS = 20  # of an id: 64 bits have as many
DEPTH = 50  # results that a re-ranker puts in order


def _read_ids(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> list[int]:
    told = [id.strip() for ids in given for id in ids.split(",")]
    for id in told:
        if not (id.isascii() and id.isdecimal() and len(id) <= MOST_DIGITS):
            raise click.BadParameter(f"{id!r} is no id; give ids as in 7,12, which vsearch query --json shows.")
    return list(map(int, told))


@click.command()
@terms_options
@click.option("--keep-query", is_flag=True, help="Do not leave the pictures of the query out of the results.")
@click.option("--more", metavar="ID,ID", multiple=True, callback=_read_ids, help="Results that were right.")
@click.option("--less", metavar="ID,ID", multiple=True, callback=_read_ids, help="Results that were wrong.")
@click.option("--min-confidence", metavar="P", type=Within(0, 1), help="Leave out results of less confidence.")
@click.option("--strict", is_flag=True, help="Show nothing, and exit 1, when nothing seems to match.")
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
    "--rerank",
    metavar="FOLDER",
    help="Put the 50 best in the order of this re-ranker, which reads text and picture together; see train-reranker.",
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
@click.option(
    "--target",
    type=click.Choice(["pictures", "captions"]),
    default="pictures",
    show_default=True,
    help="What to find: pictures, or the captions of the collection that are nearest.",
)
@index_option
@encoder_option
@output_options
def query(
    terms: Terms,
    keep_query: bool,
    more: list[int],
    less: list[int],
    min_confidence: float | None,
    strict: bool,
    k: int,
    rerank: str | None,
    offset: int,
    where: str | None,
    target: Target,
    index_path: str | None,
    output: Output,
) -> int:
    """Find the pictures that fit a sentence, a picture, or several of them at once.

    Several texts and pictures are averaged by their weights, and those of --not count against. Results come best
    first, with their cosine as score. The confidence, where one is known, says how far that is above what queries
    that mean nothing find in this collection.
    """
    if rerank and not terms.only_text:
        raise click.UsageError("--rerank reads one text, and nothing else.")
    if rerank and target == "captions":
        raise click.UsageError("--rerank looks at pictures; leave out --target captions.")
    place = find_index(index_path)
    from vsearch.confidence import NOTHING
    from vsearch.index import open_index
    from vsearch.results import Hits

    least = max(min_confidence or 0.0, NOTHING) if strict else min_confidence
    with open_index(place, on_notice=say) as index:
        hits = index.search(
            terms.query(),
            max(k + offset, DEPTH) if rerank else k,
            # A vector is taken for a text unless there is a picture: text is searched more widely.
            modality="text" if terms.vectors and not (terms.images or terms.ids) else None,
            more=more,
            less=less,
            include_query=keep_query,
            min_confidence=least,
            where=where,
            offset=0 if rerank else offset,
            target=target,
        )
        if rerank:
            hits = Hits.of(_reranked(index, hits, terms.title, rerank)[offset : offset + k])
        images_there = 0 if hits else len(index)
    output.present(hits, terms.title)
    if hits:
        if not offset:
            _warn(hits, NOTHING, terms.title)
        return Exit.DONE
    sure = f" with a confidence of {least:g} or more" if least else ""
    through = " that the filter lets through" if where is not None else ""
    there = "captions" if target == "captions" else f"{images_there:,} pictures"
    say(f"nothing found{sure}{through} among the {there} of {place}")
    return Exit.NOTHING_FOUND


def _warn(hits: Sequence[Hit], nothing: float, title: str) -> None:
    best = hits[0].confidence
    if best is not None and best < nothing:
        say(f"nothing here seems to match {title!r}: the best confidence is {best:.2f}; the nearest are shown")


def _reranked(index: Index, hits: Sequence[Hit], text: str, folder: str) -> Sequence[Hit]:
    from vsearch.rerank import Reranker, known_patches

    reranker = Reranker.load(folder)
    known = known_patches(index.store, reranker.towers, [hit.id for hit in hits[:DEPTH]])
    return reranker.rerank(text, hits, DEPTH, known)
