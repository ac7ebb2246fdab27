"""``vsearch models``: the encoders worth knowing, fetching one ahead, and taking one to a machine without a network."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import click

from vsearch.cli.console import emit, say, show
from vsearch.cli.output import json_option

if TYPE_CHECKING:
    from vsearch.embed import Preset

EXPLAINED = (
    "GFLOPs: for one picture. COCO: captions, in percent, that find their picture first among 5,000 (recall@1). "
    "ImageNet: pictures, in percent, named rightly among 1,000 kinds. Both as published; - where nobody tells."
)


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """List encoders with what they weigh, what they find and in which languages (--json: one object a line)."""
    if context.invoked_subcommand is not None:
        return
    from vsearch.embed import presets
    from vsearch.present import json_line
    from vsearch.present.grid import Grid

    known = presets()
    if as_json:
        emit("".join(json_line(asdict(preset)) for preset in known).encode("utf-8"))
        return
    show(Grid(("--encoder", "here", "MB", "dim", "GFLOPs", "COCO", "ImageNet"), [*map(_figures, known)]))
    width = min(shutil.get_terminal_size().columns, 100)
    told = [f"{p.name}: {p.note}. Texts in {p.languages}. {p.licence}." for p in known]
    fill = partial(textwrap.fill, width=width, subsequent_indent="    ", break_on_hyphens=False)
    emit("\n" + "".join(f"{fill(text)}\n" for text in told) + f"\n{fill(EXPLAINED)}\n")


def _figures(preset: Preset) -> tuple[str, ...]:
    return (
        preset.name,
        "yes" if preset.on_this_machine else "no",
        f"{preset.megabytes:,}",
        str(preset.dim),
        f"{preset.gflops:.1f}" if preset.gflops else "-",
        *("-" if known is None else f"{known:.1f}" for known in (preset.coco, preset.imagenet)),
    )


@models.command()
@click.argument("name", metavar="NAME")
def fetch(name: str) -> None:
    """Fetch the encoder NAME now, so that it works without a network later.

    NAME as for --encoder: ViT-B-32/laion2b_s34b_b79k, hf-hub:ORG/REPO, or auto. A fetch that was interrupted goes on
    where it stopped. What is here already is compared with its checksum. HF_HOME says where it goes, HF_ENDPOINT
    where it comes from.
    """
    from vsearch.embed import fetch_encoder

    fetched = fetch_encoder(name)
    if fetched.damaged:
        say("what was here was damaged")
    emit(f"{fetched.encoder}: {'fetched' if fetched.came else 'already here'}\n")


@models.command()
@click.argument("name", metavar="NAME")
@click.argument("folder", metavar="FOLDER", type=click.Path())
def export(name: str, folder: str) -> None:
    """Write the encoder NAME into FOLDER, for a machine without a network.

    There it is --encoder local-dir:FOLDER. It is loaded from the folder once, to see that it is the same encoder.
    """
    from vsearch.embed.exported import export_encoder

    exported = export_encoder(name, folder)
    emit(f"{exported.encoder} → {folder}: {exported.bytes / 1e6:,.0f} MB\n")
    say(f"use it with --encoder local-dir:{folder}")
