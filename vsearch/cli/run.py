"""The entry: errors become one message and an exit code."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from enum import IntEnum

import click

from vsearch.cli.say import say
from vsearch.errors import EncoderUnknown, VsearchError


class Exit(IntEnum):
    """What the command tells a script."""

    DONE = 0
    NOTHING_FOUND = 1
    ERROR = 2
    SOME_FAILED = 3
    INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; arguments are those of the process unless given."""
    from vsearch.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's encoding lacks is shown escaped; it must not end the program.
            stream.reconfigure(errors="backslashreplace")
    try:
        outcome = _run(app, arguments)
    except click.ClickException as error:
        error.show()
        return Exit.ERROR
    except (click.Abort, KeyboardInterrupt):
        say("interrupted")
        return Exit.INTERRUPTED
    except VsearchError as error:
        say(str(error))
        return Exit.ERROR
    except OSError as error:
        # The rooms translate what they can name; this is what is left, such as a current folder that is gone.
        place = f": {error.filename}" if error.filename else ""
        say(f"{error.strerror or error}{place}")
        return Exit.ERROR
    return outcome if isinstance(outcome, int) else Exit.DONE


def _run(app: click.Group, arguments: Sequence[str] | None) -> object:
    """Run the command; on a terminal, ask before an encoder is loaded that only a file names, and run it again."""
    try:
        return app.main(arguments, prog_name="vsearch", standalone_mode=False)
    except EncoderUnknown as unknown:
        if not (sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()):
            raise
        from vsearch.embed import name_encoder
        from vsearch.present import printable

        say(str(unknown))
        if not click.confirm(printable(f"Load {unknown.name}, now and from now on?"), err=True):
            raise click.Abort from unknown
        name_encoder(unknown.name)
        return app.main(arguments, prog_name="vsearch", standalone_mode=False)
