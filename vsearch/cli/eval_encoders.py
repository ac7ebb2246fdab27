"""``vsearch eval`` of encoders: retrieval, zero-shot classification, swapped captions, two side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from vsearch.cli.console import emit, say, show
from vsearch.cli.output import json_option
from vsearch.cli.progress import progress
from vsearch.cli.run import Exit

if TYPE_CHECKING:
    from vsearch.embed import Encoder
    from vsearch.evaluate import Measured

SHOWN_FAILURES = 3

encoder_option = click.option(
    "--encoder", metavar="NAME", default="auto", show_default=True, help="The encoder; see vsearch models."
)
plot_option = click.option("--plot", metavar="FILE", help="Also draw recall over K results; needs matplotlib.")


@click.command()
@click.argument("pairs", metavar="PAIRS")
@encoder_option
@plot_option
@json_option
def retrieval(pairs: str, encoder: str, plot: str | None, as_json: bool) -> int:
    """Measure how well captions find their pictures, and pictures their captions.

    PAIRS is a CSV or TSV table with the columns filepath and title, several rows of a picture being several captions,
    or a folder with captions beside the pictures. The metrics have the names of CLIP_benchmark.
    """
    from vsearch.evaluate import measure_retrieval, read_pairs
    from vsearch.sources import source_for

    read = read_pairs(source_for(pairs))
    with progress() as shower:
        measured = measure_retrieval(read, _load(encoder), shower)
    if plot:
        _plot(plot, {"": measured.ranks[0]})
    return _tell(measured, as_json, _retrieval_table)


@click.command()
@click.argument("pairs", metavar="PAIRS")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@plot_option
@json_option
def compare(pairs: str, a: str, b: str, plot: str | None, as_json: bool) -> int:
    """Compare two encoders, A and B, on the same pairs of pictures and captions.

    The interval is of the difference B - A, from 2,000 bootstrap samples of the pictures, the same for both.
    """
    from vsearch.evaluate import measure_comparison, read_pairs
    from vsearch.sources import source_for

    read = read_pairs(source_for(pairs))
    with progress() as shower:
        measured = measure_comparison(read, _load(a), _load(b), shower)
    if plot:
        _plot(plot, {f"{name}: ": found for name, found in zip((a, b), measured.ranks, strict=True)})
    return _tell(measured, as_json, _comparison_table)


@click.command()
@click.argument("pictures", metavar="FOLDER|LABELS")
@encoder_option
@click.option("--templates", default="photo", show_default=True, help="A bundled set of prompts, or a file *.txt.")
@click.option("--label-column", default="label", show_default=True, help="Column of labels in CSV and TSV tables.")
@json_option
def zeroshot(pictures: str, encoder: str, templates: str, label_column: str, as_json: bool) -> int:
    """Measure zero-shot classification: a folder with a folder for each label, or a table of pictures and labels.

    Each label is put into every template, and their vectors are averaged.
    """
    from vsearch import prompts
    from vsearch.evaluate import measure_zeroshot, read_labelled

    labelled, sentences = read_labelled(pictures, label_column), prompts.load(templates)
    with progress() as shower:
        measured = measure_zeroshot(labelled, _load(encoder), sentences, shower)
    return _tell(measured, as_json, _zeroshot_table)


@click.command()
@click.argument("swaps", metavar="SWAPS")
@encoder_option
@click.option("--rerank", metavar="FOLDER", help="Measure this re-ranker instead of the encoder's cosine.")
@json_option
def compositional(swaps: str, encoder: str, rerank: str | None, as_json: bool) -> int:
    """Measure whether captions are told from foils that have the same words in another order.

    SWAPS is a CSV or TSV table with the columns filepath, title, foil and kind; tools/compose.py makes one. Guessing
    is right in half of the cases for text and image, and in a sixth for group.
    """
    from vsearch.evaluate import measure_swaps, read_swaps

    read = read_swaps(swaps)
    with progress() as shower:
        if rerank:
            from vsearch.rerank import Reranker, measure_reranker

            measured = measure_reranker(read, Reranker.load(rerank))
        else:
            measured = measure_swaps(read, _load(encoder), shower)
    return _tell(measured, as_json, _swaps_table)


def _load(name: str) -> Encoder:
    from vsearch.embed import load_encoder, resolve

    full, why = resolve(name)
    if name == "auto":
        say(why)
    return load_encoder(full)


def _tell(measured: Measured, as_json: bool, table: Callable[[dict[str, Any]], None]) -> int:
    """Print the figures, and on standard error what could not be read."""
    from vsearch.present import json_line

    if as_json:
        emit(json_line(measured.figures).encode("utf-8"))
    else:
        table(measured.figures)
    failures = measured.failures
    for failure in failures[:SHOWN_FAILURES]:
        say(f"{failure.uri}: {failure.reason}")
    if failures:
        say(f"{len(failures):,} pictures could not be read and took no part")
    return Exit.SOME_FAILED if failures else Exit.DONE


def _plot(path: str, found: dict[str, Any]) -> None:
    from vsearch.present.plot import plot_recall

    curves: dict[str, Any] = {}
    for name, ranks in found.items():
        curves |= {f"{name}text to image": ranks.of_texts, f"{name}image to text": ranks.of_captioned}
    plot_recall(curves, path)


def _retrieval_table(told: dict[str, Any]) -> None:
    from vsearch.present.grid import Grid

    bounds = told["interval_95"]
    names = [name for name in told if "_retrieval_" in name]
    rows = [(name, _number(told[name]), _bounds(bounds.get(name))) for name in names]
    show(Grid((told["encoder"], "", "95 % interval"), rows))
    emit(f"{told['pictures']:,} pictures, {told['captions']:,} captions\n")


def _comparison_table(told: dict[str, Any]) -> None:
    from vsearch.present.grid import Grid

    rows = [
        (
            name,
            _number(row["a"]),
            _number(row["b"]),
            f"{row['difference']:+.4f}",
            _bounds(row["interval_95"]),
            "certain" if row["certain"] else "may be chance",
        )
        for name, row in told["difference"].items()
    ]
    show(Grid(("", told["a"]["encoder"], told["b"]["encoder"], "difference", "95 % interval", ""), rows))
    emit(f"{told['a']['pictures']:,} pictures, {told['a']['captions']:,} captions\n")


def _zeroshot_table(told: dict[str, Any]) -> None:
    from vsearch.present.grid import Grid

    names = [*told["interval_95"], "mean_per_class_recall"]
    rows = [(name, _number(told[name]), _bounds(told["interval_95"].get(name))) for name in names]
    show(Grid((told["encoder"], "", "95 % interval"), rows))
    emit(f"{told['pictures']:,} pictures, {told['classes']:,} labels, {told['templates']:,} templates\n")


def _swaps_table(told: dict[str, Any]) -> None:
    from vsearch.present.grid import Grid

    rows = [
        (
            kind,
            f"{row['pictures']:,}",
            _number(row["text"]),
            _bounds(row["interval_95"]),
            _number(row["image"]),
            _number(row["group"]),
        )
        for kind, row in told["kinds"].items()
    ]
    show(Grid((told["encoder"], "pictures", "text", "95 % interval", "image", "group"), rows))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) and value <= 1 else f"{value:,.1f}"


def _bounds(bounds: list[float] | None) -> str:
    return "" if bounds is None else f"{bounds[0]:.4f} to {bounds[1]:.4f}"
