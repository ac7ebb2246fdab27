"""The output options that all commands with hits share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from vsearch.cli.console import draw, emit, on_terminal, show
from vsearch.errors import VsearchError

if TYPE_CHECKING:
    from vsearch.present import Protocol
    from vsearch.types import Hit

Command = Callable[..., Any]

FORMATS = {
    "json": ("--json", "JSON Lines: rank, id, score, confidence, uri, path, caption, width, height."),
    "csv": ("--csv", "The same as CSV with a header line."),
    "paths": ("--paths", "Only the paths, one a line."),
    "nul": ("-0/--print0", "Only the paths, each followed by NUL, for xargs -0."),
    "preview": ("--preview", "The pictures themselves, in the terminal."),
}

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


@dataclass(frozen=True)
class Output:
    """How hits are to be shown: one of ``FORMATS`` or ``table``, and a page to be written besides."""

    format: str
    page: str | None

    def present(self, hits: Sequence[Hit], title: str) -> None:
        """Write the page, if one is asked for, and print the hits.  title: the query in words."""
        if self.page is not None:
            _write_page(self.page, hits, title)
        _PRINT[self.format](hits)


def output_options(command: Command) -> Command:
    """Give a command the output options; it gets them as one ``output``."""

    @wraps(command)
    def with_output(html: str | None, **options: Any) -> Any:
        chosen = [name for name in FORMATS if options.pop(f"as_{name}")]
        if len(chosen) > 1:
            names = " and ".join(FORMATS[name][0].split("/")[-1] for name in chosen)
            raise click.UsageError(f"{names} exclude each other.")
        return command(output=Output(chosen[0] if chosen else "table", html), **options)

    wrapped: Command = click.option(
        "--html", metavar="FILE", help="Also write a page with the pictures inside, which links to the files."
    )(with_output)
    for name, (flags, about) in reversed(FORMATS.items()):
        wrapped = click.option(*flags.split("/"), f"as_{name}", is_flag=True, help=about)(wrapped)
    return wrapped


def _write_page(page: str, hits: Sequence[Hit], title: str) -> None:
    from vsearch.decode.thumbnails import thumbnails
    from vsearch.present import Section, html

    text = html([Section(title, hits)], thumbnails, title=title)
    try:
        with open(page, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise VsearchError(f"the page {page!r} cannot be written: {error.strerror}; name another --html") from error


def _table(hits: Sequence[Hit]) -> None:
    from vsearch.present import table

    if hits:
        show(table(hits, os.getcwdb()))


def _json(hits: Sequence[Hit]) -> None:
    from vsearch.present import json_lines

    emit(json_lines(hits).encode("utf-8"))


def _csv(hits: Sequence[Hit]) -> None:
    from vsearch.present import csv

    emit(csv(hits).encode("utf-8"))


def _paths(hits: Sequence[Hit]) -> None:
    from vsearch.present import paths

    emit(paths(hits, escape=on_terminal()))


def _nul(hits: Sequence[Hit]) -> None:
    from vsearch.present import nul

    emit(nul(hits))


def _preview(hits: Sequence[Hit]) -> None:
    from vsearch.decode.thumbnails import thumbnails
    from vsearch.present import preview

    for piece in preview(hits, thumbnails, _protocol(), os.getcwdb()):
        draw(piece)


def _protocol() -> Protocol:
    """What the terminal says it can show; half blocks when the output is none."""
    from vsearch.present import Protocol, detect

    if not on_terminal():
        return Protocol.BLOCKS
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return Protocol.BLOCKS
    try:
        return detect(terminal, os.environ)
    finally:
        os.close(terminal)


_PRINT: dict[str, Callable[[Sequence[Hit]], None]] = {
    "table": _table,
    "json": _json,
    "csv": _csv,
    "paths": _paths,
    "nul": _nul,
    "preview": _preview,
}
