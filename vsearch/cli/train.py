"""``vsearch train``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsearch.cli.console import emit, say, show
from vsearch.cli.output import json_option
from vsearch.cli.run import Exit
from vsearch.cli.units import time_left

if TYPE_CHECKING:
    from vsearch.train import Pairs, TrainReport
    from vsearch.train.loop import Moment

EVERY = 15.0  # seconds between lines of progress
SETTINGS: dict[str, tuple[tuple[str, ...], Any, str]] = {
    "what": (("--train",), str, "heads, whole, image, text, last:N, lora; default: heads for mini, else whole."),
    "loss": (("--loss",), click.Choice(["infonce", "siglip"]), "Default: infonce."),
    "epochs": (("--epochs",), int, "Passes over the pictures. Default: 30, fewer when recall stops rising."),
    "batch": (("--batch",), int, "Pairs compared with each other. Default: 512."),
    "chunk": (("--chunk",), int, "Pairs computed at a time: less memory, the same gradients. Default: the batch."),
    "lr_towers": (("--lr-towers",), float, "Learning rate of pretrained weights. Default: 1e-5."),
    "lr_heads": (("--lr-heads",), float, "Learning rate of new weights. Default: 1e-3."),
    "hard_batches": (("--hard-batches",), int, "Put so many look-alikes together in a batch. Default: 0."),
    "patience": (("--patience",), int, "Evaluations without a better recall before it stops; 0: never. Default: 5."),
    "ema": (("--ema",), float, "Decay of a moving average of the weights; 0: none. Default: 0."),
    "seed": (("--seed",), int, "Default: 0."),
}


def _settings(command: Callable[..., Any]) -> Callable[..., Any]:
    for name, (flags, kind, about) in reversed(SETTINGS.items()):
        command = click.option(*flags, name, type=kind, help=about)(command)
    return command


@click.command()
@click.argument("pairs", metavar="PAIRS")
@click.option("--out", metavar="FOLDER", required=True, help="Where the encoder and the checkpoints go.")
@click.option("--encoder", metavar="NAME", default="mini", show_default=True, help="What training starts from.")
@click.option("--val", metavar="PAIRS", help="Pairs to measure with. Default: a tenth of the pictures is held out.")
@click.option(
    "--general", metavar="PAIRS", help="Pairs of another kind: what is forgotten there is kept within 2 points."
)
@click.option(
    "--look-alikes", metavar="INDEX", help="With --hard-batches: an index by whose vectors pictures are alike."
)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint.")
@click.option("--no-wise", is_flag=True, help="Keep the new weights as they are, not the best mix with the old ones.")
@click.option("--device", metavar="NAME", help="cpu or cuda. Default: a GPU when there is one.")
@_settings
@json_option
def train(pairs: str, out: str, encoder: str, as_json: bool, **options: Any) -> int:
    """Fine-tune an encoder on pairs of pictures and captions: a CSV or TSV table, a folder, tars, or an index.

    The result is an encoder like any other: vsearch index --encoder FOLDER/best
    """
    from vsearch.train import TrainConfig, read_pairs
    from vsearch.train import train as fit

    first = os.environ.get("RANK", "0") == "0"
    tell = say if first else (lambda _: None)
    told = {name: options[name] for name in SETTINGS if options[name] is not None}
    config = TrainConfig(**told, wise=not options["no_wise"])
    place = Path(out).absolute()

    def read(named: str | None) -> Pairs | None:
        return read_pairs(named, on_notice=tell) if named else None

    try:
        report = fit(
            read_pairs(pairs, on_notice=tell),
            place,
            encoder=encoder,
            validation=read(options["val"]),
            general=read(options["general"]),
            config=config,
            look_alikes=Path(options["look_alikes"]) if options["look_alikes"] else None,
            resume=options["resume"],
            device=options["device"],
            on_notice=tell,
            on_moment=_moments() if first else None,
            on_features=_features() if first else None,
        )
    except KeyboardInterrupt:
        tell(f"interrupted; type the same with --resume to go on from the last checkpoint in {out}")
        return Exit.INTERRUPTED
    if first:
        _present(report, as_json)
    return Exit.DONE


def _moments() -> Callable[[Moment], None]:
    """A line at each evaluation, and now and then."""
    due = 0.0

    def shower(now: Moment) -> None:
        nonlocal due
        if now.figures is None and time.monotonic() < due:
            return
        due = time.monotonic() + EVERY
        left = time_left(now.seconds_left)
        line = (
            f"step {now.step:,} of {now.steps:,}, loss {now.loss:.3f}, {now.pairs_per_second:,.0f} pairs/s, {left} left"
        )
        if now.figures is not None:
            line += f", recall@10 {now.figures['image_retrieval_recall@10']:.3f}"
        say(line)

    return shower


def _features() -> Callable[[int, int], None]:
    due = time.monotonic() + EVERY

    def shower(done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + EVERY
            say(f"{done:,} of {total:,} pictures through the frozen tower")

    return shower


def _present(report: TrainReport, as_json: bool) -> None:
    from vsearch.present import json_line
    from vsearch.present.grid import Grid

    if as_json:
        emit(json_line({**asdict(report), "encoder": str(report.encoder)}).encode("utf-8"))
        return
    columns = {"before": report.before, "after": report.after}
    if report.general_before is not None and report.general_after is not None:
        columns |= {"general before": report.general_before, "general after": report.general_after}
    rows = [(name, *(f"{figures[name]:.4g}" for figures in columns.values())) for name in report.before]
    show(Grid(("", *columns), rows))
    mix = f", {report.alpha:.0%} of the new weights" if report.mixes else ""
    early = ", stopped early" if report.stopped_early else ""
    emit(f"{report.steps:,} steps{early}, best at {report.best_step:,}{mix} → {report.encoder}\n")
