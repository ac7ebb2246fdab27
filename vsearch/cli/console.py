"""Results go to standard output, everything else to standard error."""

from __future__ import annotations

import io
import os
import shutil
import sys
from typing import TYPE_CHECKING

import click

from vsearch.errors import VsearchError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from vsearch.present.grid import Grid

WIDE = 10_000  # columns of a table that no terminal shows, so that no line is broken


def say(message: str) -> None:
    """Write a message to standard error; control characters of file names are escaped."""
    from vsearch.present.names import printable

    lines = "\n".join(printable(line) for line in message.split("\n"))
    click.echo(f"vsearch: {lines}", err=True)


def say_usage(error: click.ClickException) -> None:
    """Write what click says of wrong words, which repeats them, to standard error."""
    from vsearch.present.names import printable

    text = io.StringIO()
    if isinstance(error, click.UsageError) and error.ctx is not None:
        error.ctx.color = True  # else escape sequences are taken out, and what was typed is shown as something else
        error.show(text)
    else:
        text.write(f"Error: {error.format_message()}")
    for line in text.getvalue().rstrip("\n").split("\n"):
        click.echo(printable(line), err=True)


def on_terminal() -> bool:
    """Whether results go to a terminal."""
    return sys.stdout.isatty()


def emit(data: bytes | str) -> None:
    """Write results to standard output: as they are, but on a terminal with control characters escaped.

    A reader that has gone (``| head``) is no error.  Raises VsearchError when the output cannot be written.
    """
    if on_terminal():
        from vsearch.present.names import printable_lines

        data = printable_lines(os.fsdecode(data))
    _write(data if isinstance(data, bytes) else _encoded(data))


def draw(text: str) -> None:
    """Write what was made for a terminal, colours and pictures, to standard output.  Raises VsearchError."""
    _write(_encoded(text))


def _encoded(text: str) -> bytes:
    return text.encode(sys.stdout.encoding or "utf-8", "backslashreplace")


def _write(raw: bytes) -> None:
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(raw)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        _close_output()
    except OSError as error:
        _close_output()
        raise VsearchError(f"the output cannot be written: {error.strerror}") from error


def settle_output() -> None:
    """Write what waits for standard output; drop it where it cannot be written."""
    try:
        sys.stdout.flush()
    except OSError:
        _close_output()


def _close_output() -> None:
    # What is still in the buffer would be written, and fail, when the interpreter ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(content: RenderableType | Grid) -> None:
    """Write a table: in colour and as wide as the terminal, or plain and unbroken into a file or pipe."""
    from vsearch.present.grid import Grid

    terminal = on_terminal()
    width = shutil.get_terminal_size().columns if terminal else WIDE
    if isinstance(content, Grid):
        bold = terminal and os.environ.get("TERM", "dumb") != "dumb"
        draw("".join(f"{line}\n" for line in content.lines(width if terminal else None, bold=bold)))
        return
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, force_terminal=terminal, width=width).print(content)
    draw("".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines()))
