"""The command ``vsearch``: each command opens an index, makes one call of the library and presents what comes back."""

from __future__ import annotations

from collections.abc import Sequence

from vsearch.cli import streams

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; arguments are those of the process unless given."""
    streams.prepare()  # before anything else opens a file
    from vsearch.cli.run import run

    return run(arguments)
