"""``vsearch classify`` and ``vsearch tag``: which of some labels pictures show."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from vsearch.cli.console import emit, say, show
from vsearch.cli.locate import encoder_option, find_index, index_option
from vsearch.cli.output import json_option
from vsearch.cli.progress import progress
from vsearch.cli.run import Exit
from vsearch.cli.units import Within
from vsearch.errors import IndexNotFound

if TYPE_CHECKING:
    from vsearch.embed import Encoder
    from vsearch.types import Failure, Label

Command = Callable[..., Any]


def label_options(command: Command) -> Command:
    """How labels are put into words and weighed."""
    for option in (
        click.option("--temperature", metavar="T", type=float, help="Default: what the encoder learned, else 0.01."),
        click.option(
            "--templates",
            metavar="NAME|FILE.txt",
            default="photo",
            show_default=True,
            help="Sentences to put labels in, each with {}; plain: the label alone.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@click.option("--labels", metavar="A,B,...|FILE", required=True, help="Two or more labels; in a file one a line.")
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="Labels to show for each picture.")
@click.option("--encoder", metavar="NAME", help="Default: that of the index, else auto.")
@label_options
@index_option
@json_option
def classify(
    images: tuple[str, ...],
    labels: str,
    top: int,
    encoder: str | None,
    templates: str,
    temperature: float | None,
    index_path: str | None,
    as_json: bool,
) -> int:
    """Tell which of some labels pictures show, likeliest first.

    The pictures need not be indexed. A confidence compares the labels with each other: it does not tell whether any of
    them fits.
    """
    from vsearch import prompts
    from vsearch.labels import Classifier, read_labels
    from vsearch.labels import classify as classified

    told = read_labels(labels)
    loaded = _encoder(encoder, index_path)
    classifier = Classifier.of(loaded, told, templates=prompts.load(templates), temperature=temperature)
    found = classified(loaded, classifier, [os.fsencode(os.path.abspath(image)) for image in images], top=top)
    return _json(found) if as_json else _table(found)


def _encoder(named: str | None, index_path: str | None) -> Encoder:
    """The encoder named, else that of the index that would be searched, else ``auto``."""
    from vsearch.embed import load_encoder, resolve
    from vsearch.index import open_index

    if named is None:
        try:
            with open_index(find_index(index_path), on_notice=say) as index:
                return index.encoder
        except IndexNotFound:
            if index_path is not None:
                raise
    name, why = resolve(named or "auto")
    say(why)
    return load_encoder(name)


def _json(found: Iterable[tuple[bytes, list[Label] | Failure]]) -> int:
    from vsearch.present import json_line, path_fields
    from vsearch.types import Failure

    failed = False
    for path, outcome in found:
        if isinstance(outcome, Failure):
            failed = True
            _say_failure(outcome)
        else:
            labels = [{"label": label.name, "confidence": round(label.confidence, 6)} for label in outcome]
            emit(json_line({**path_fields(path), "labels": labels}).encode("utf-8"))
    return Exit.SOME_FAILED if failed else Exit.DONE


def _table(found: Iterable[tuple[bytes, list[Label] | Failure]]) -> int:
    from vsearch.present import printable
    from vsearch.present.grid import Grid
    from vsearch.present.table import relative
    from vsearch.types import Failure

    rows, failed, here = [], False, os.getcwdb()
    for path, outcome in found:
        if isinstance(outcome, Failure):
            failed = True
            _say_failure(outcome)
            continue
        name = printable(relative(path, here))
        for number, label in enumerate(outcome):
            rows.append(("" if number else name, f"{label.confidence:.3f}", printable(label.name)))
    if rows:
        show(Grid(("picture", "confidence", "label"), rows))
    return Exit.SOME_FAILED if failed else Exit.DONE


def _say_failure(failure: Failure) -> None:
    say(f"{os.fsdecode(failure.path)}: {failure.reason}")


@click.command()
@click.option("--labels", metavar="A,B,...|FILE", help="Two or more labels; in a file one a line.")
@click.option("--clear", is_flag=True, help="Take all tags away instead.")
@click.option(
    "--min-confidence",
    metavar="P",
    type=Within(0, 1),
    default=0.5,
    show_default=True,
    help="Lowest confidence of a tag.",
)
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="Most tags of a picture.")
@label_options
@index_option
@encoder_option
@json_option
def tag(
    labels: str | None,
    clear: bool,
    min_confidence: float,
    top: int,
    templates: str,
    temperature: float | None,
    index_path: str | None,
    as_json: bool,
) -> None:
    """Tag every indexed picture with those of some labels that it shows most likely.

    Works on the stored vectors; no picture is read. The tags take the place of those of an earlier run, and can be
    asked for in filters. Pictures that are indexed later have none until this is run again.
    """
    if (labels is None) != clear:
        raise click.UsageError("Give either --labels, as in vsearch tag --labels dog,cat,car, or --clear.")
    place = find_index(index_path)
    from vsearch import prompts
    from vsearch.index import open_index
    from vsearch.labels import read_labels
    from vsearch.present import json_line

    told = None if labels is None else read_labels(labels)
    with open_index(place, write=True, on_notice=say) as index:
        if told is None:
            cleared = index.clear_tags()
            emit(
                json_line({"cleared": cleared}).encode("utf-8")
                if as_json
                else f"tags taken from {cleared:,} pictures\n"
            )
            return
        classifier = index.classifier(told, templates=prompts.load(templates), temperature=temperature)
        with progress() as shower:
            report = index.tag(classifier, min_confidence=min_confidence, top=top, progress=shower)
    if as_json:
        emit(json_line({"pictures": report.pictures, "tagged": report.tagged, "labels": report.labels}).encode("utf-8"))
    else:
        emit(f"{report.tagged:,} of {report.pictures:,} pictures tagged in {report.seconds:.1f} s\n")
