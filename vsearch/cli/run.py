"""The entry: errors become one message and an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import click

from vsearch.cli.say import say, say_usage, settle_output
from vsearch.errors import VsearchError


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
        outcome = app.main(arguments, prog_name="vsearch", standalone_mode=False)
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
