"""``vsearch explain``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vsearch.cli.console import emit, say, show
from vsearch.cli.locate import encoder_option, find_index, index_option
from vsearch.cli.output import json_option

if TYPE_CHECKING:
    from vsearch.present.grid import Grid
    from vsearch.search.explain import Explanation


@click.command()
@click.argument("text", metavar="[QUERY]", required=False)
@click.option("--id", "id", metavar="ID", type=click.IntRange(0), required=True, help="The picture to explain.")
@click.option("--image", metavar="FILE", help="A picture as query.")
@click.option("--vector", metavar="FILE.npy", help="A vector as query; see vsearch query.")
@click.option("-k", "--count", "k", type=click.IntRange(1, 100_000), default=10, show_default=True, help="Results.")
@index_option
@encoder_option
@json_option
def explain(
    text: str | None, id: int, image: str | None, vector: str | None, k: int, index_path: str | None, as_json: bool
) -> None:
    """Tell why a picture is where it is in the results of a query, or is not among them."""
    if (text is not None) + (image is not None) + (vector is not None) != 1:
        raise click.UsageError('Give one query: a text, as in vsearch explain "red apple" --id 7, --image or --vector.')
    place = find_index(index_path)
    from vsearch.index import open_index
    from vsearch.present import json_line
    from vsearch.sources.vectors import read_vector
    from vsearch.types import Query

    if text is not None:
        query = Query(text)
    else:
        query = Query(Path(image) if image is not None else read_vector(Path(str(vector))))
    with open_index(place, on_notice=say) as index:
        told = index.explain(query, id, k, modality="image" if image is not None else "text")
    if as_json:
        emit(json_line(asdict(told)).encode("utf-8"))
    else:
        show(_table(told))


def _table(told: Explanation) -> Grid:
    from vsearch.present.grid import Grid

    return Grid((), [*_ranks(told), *_cells(told), *_codes(told)])


def _ranks(told: Explanation) -> list[tuple[str, str]]:
    exact = "left out of results" if told.exact_rank is None else f"{told.exact_rank:,}"
    found = f"not among the {told.k:,}" if told.ann_rank is None else f"{told.ann_rank:,}"
    held = "in the FAISS index" if told.indexed else "searched exactly"
    return [("score", f"{told.score:.4f}"), ("exact rank", exact), ("rank in a search", found), ("kept", held)]


def _cells(told: Explanation) -> list[tuple[str, str]]:
    if told.cell is None:
        return []
    visited = "visited" if told.probed else "not visited"
    return [("list", f"{told.cell:,}: number {told.cell_rank:,} for this query, {visited} (nprobe {told.nprobe:,})")]


def _codes(told: Explanation) -> list[tuple[str, str]]:
    if told.code_error is None:
        return []
    return [("code error", f"{told.code_error:.3f}"), ("score by its code", f"{told.code_score:.4f}")]
