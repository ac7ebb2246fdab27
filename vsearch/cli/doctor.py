"""``vsearch doctor``: what this machine has."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import click

from vsearch.cli.console import emit, say, show
from vsearch.cli.output import json_option

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
