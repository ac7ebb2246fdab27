"""The entry: errors become one message and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import IntEnum

import click

from vsearch.cli.console import say, say_usage, settle_output
from vsearch.errors import EncoderUnknown, VsearchError


class Exit(IntEnum):
    """What the command tells a script."""

    DONE = 0
    NOTHING_FOUND = 1
    ERROR = 2
    SOME_FAILED = 3
    INTERRUPTED = 130


def run(arguments: Sequence[str] | None) -> int:
    """Run the command and return its exit code; arguments are those of the process when None."""
    from vsearch.cli.app import app

    try:
        outcome = _run(app, arguments)
    except click.ClickException as error:
        say_usage(error)
        return Exit.ERROR
    except SystemExit:  # how click ends when the reader of a help text has gone, which is no error
        return Exit.DONE
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
        settle_output()
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
