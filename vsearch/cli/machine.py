"""``vsearch doctor``: what this machine has."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import click

from vsearch.cli.output import json_option
from vsearch.cli.say import emit, show

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
def doctor(as_json: bool) -> None:
    """Tell versions, hardware and encoders, for you and for reports. Takes some seconds."""
    from vsearch.present import json_line
    from vsearch.present.table import grid

    told = dict(_findings())
    if as_json:
        emit(json_line(told).encode("utf-8"))
    else:
        show(grid((), list(told.items())))


def _findings() -> Iterator[tuple[str, str]]:
    from vsearch.embed import check_encoders

    yield "vsearch", _version(("vsearch-engine",))
    yield "python", f"{platform.python_version()}, {sys.executable}"
    yield "system", f"{platform.system()} {platform.release()}, {platform.machine()}"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield "cores, memory", f"{len(os.sched_getaffinity(0))}, {memory:.1f} GiB"
    for names in PACKAGES:
        yield names[0], _version(names)
    yield from check_encoders()


def _version(names: tuple[str, ...]) -> str:
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "missing; install vsearch-engine again"
