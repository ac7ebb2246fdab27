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

WIDE = 10_000  # columns of a table that no terminal shows, so that no line is broken


def say(message: str) -> None:
    """Write a message to standard error; control characters of file names are escaped."""
    from vsearch.present.names import printable

    lines = "\n".join(printable(line) for line in message.split("\n"))
    click.echo(f"vsearch: {lines}", err=True)


def on_terminal() -> bool:
    """Whether results go to a terminal."""
    return sys.stdout.isatty()


def emit(data: bytes | str) -> None:
    """Write results to standard output.

    A reader that has gone (``| head``) is no error.  Raises VsearchError when the output cannot be written.
    """
    raw = data if isinstance(data, bytes) else data.encode(sys.stdout.encoding or "utf-8", "backslashreplace")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(raw)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        _close_output()
    except OSError as error:
        _close_output()
        raise VsearchError(f"the output cannot be written: {error.strerror}") from error


def _close_output() -> None:
    # What is still in the buffer would be written, and fail, when the interpreter ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(content: RenderableType) -> None:
    """Write a table: in colour and as wide as the terminal, or plain and unbroken into a file or pipe."""
    from rich.console import Console

    terminal = on_terminal()
    width = shutil.get_terminal_size().columns if terminal else WIDE
    out = io.StringIO()
    Console(file=out, force_terminal=terminal, width=width).print(content)
    emit("".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines()))
