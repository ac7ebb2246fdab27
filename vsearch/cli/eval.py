"""``vsearch eval``: measuring."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsearch.cli.console import emit, say, show
from vsearch.cli.eval_encoders import compare, compositional, retrieval, zeroshot
from vsearch.cli.locate import encoder_option, find_index, index_option
from vsearch.cli.output import json_option

if TYPE_CHECKING:
    from vsearch.present.grid import Grid


@click.group("eval")
def evaluate() -> None:
    """Measure how good the answers of an index are and what they cost, and how good an encoder is."""


for kind in (retrieval, compare, zeroshot, compositional):
    evaluate.add_command(kind)


@evaluate.command()
@click.option("--text-queries", metavar="FILE.npy", help="(n, dim) vectors of texts. Default: captions, or phrases.")
@click.option("--image-queries", metavar="FILE.npy", help="(n, dim) vectors of pictures. Default: some of the index.")
@click.option("-k", "k", type=click.IntRange(1, 1000), default=10, show_default=True, help="Results that count.")
@click.option(
    "--queries",
    "count",
    metavar="N",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="How many queries of each kind to draw where none are given.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Draws the queries.")
@index_option
@encoder_option
@json_option
def ann(
    text_queries: str | None, image_queries: str | None, index_path: str | None, as_json: bool, **options: Any
) -> None:
    """Compare an index with exact search: recall, time and memory, for text and for pictures."""
    place = find_index(index_path)
    from vsearch.evaluate import measure
    from vsearch.index import open_index
    from vsearch.present import json_line
    from vsearch.sources.vectors import read_npy

    text, image = (read_npy(Path(file)) if file else None for file in (text_queries, image_queries))
    with open_index(place, on_notice=say) as index:
        figures = measure(index, text, image, **options, on_notice=say)
    if as_json:
        emit(json_line(figures).encode("utf-8"))
    else:
        show(_table(figures))
        memory = f"{figures['bytes_per_vector']:,} bytes per vector"
        emit(f"{figures['count']:,} vectors of {figures['dim']:,} dimensions, index {figures['index']}, {memory}\n")


def _table(figures: dict[str, Any]) -> Grid:
    """A column for each modality."""
    from vsearch.present.grid import Grid

    told = {name: figures[name] for name in ("text", "image") if figures[name] is not None}
    rows = [
        (name.replace("_", " "), *(_shown(values[name]) for values in told.values()))
        for name in next(iter(told.values()))
    ]
    return Grid(("", *told), rows)


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
