"""``vsearch models`` and ``vsearch doctor``: what this machine has."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import click

from vsearch.cli.output import json_option
from vsearch.cli.say import emit, say, show

if TYPE_CHECKING:
    from vsearch.embed import Preset

EXPLAINED = (
    "GFLOPs: for one picture. COCO: captions, in percent, that find their picture first among 5,000 (recall@1). "
    "ImageNet: pictures, in percent, named rightly among 1,000 kinds. Both as published; - where nobody tells."
)
PACKAGES = (
    ("torch",),
    ("open_clip_torch",),
    ("faiss-gpu", "faiss-cpu"),
    ("lmdb",),
    ("numpy",),
    ("pillow",),
    ("pillow-heif",),
)


@click.command()
@json_option
def models(as_json: bool) -> None:
    """List encoders with what they weigh, what they find and in which languages (--json: one object a line)."""
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


@click.command()
@click.option("--encoder", default="auto", metavar="NAME", help="The encoder to look at.  [default: auto]")
@click.option("--forget", is_flag=True, help="Drop what was found out once about encoders and indexes, and end.")
@json_option
def doctor(encoder: str, forget: bool, as_json: bool) -> None:
    """Tell versions, hardware and encoders, for you and for reports. Takes some seconds.

    Fingerprints of weights, the precision that pays here, and which indexes are sound are found out once and kept in
    a cache; --forget drops them, and the next use finds them again.
    """
    from vsearch.present import json_line
    from vsearch.present.grid import Grid
    from vsearch.remembered import CACHE

    if forget:
        say(f"{CACHE.forget():,} findings dropped from {CACHE.folder}")
        return
    told = dict(_findings(encoder))
    if as_json:
        emit(json_line(told).encode("utf-8"))
    else:
        show(Grid((), list(told.items())))


def _findings(encoder: str) -> Iterator[tuple[str, str]]:
    from vsearch.embed import check_encoders
    from vsearch.remembered import CACHE

    yield "vsearch", _version(("vsearch-engine",))
    yield "python", f"{platform.python_version()}, {sys.executable}"
    yield "system", f"{platform.system()} {platform.release()}, {platform.machine()}"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield "cores, memory", f"{len(os.sched_getaffinity(0))}, {memory:.1f} GiB"
    for names in PACKAGES:
        yield names[0], _version(names)
    yield "findings kept in", str(CACHE.folder)
    yield from check_encoders(encoder)


def _version(names: tuple[str, ...]) -> str:
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "missing; install vsearch-engine again"
