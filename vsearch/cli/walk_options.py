"""Which files of a folder are looked at: the options of the commands that walk folders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def walk_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--exclude``, ``--follow-links`` and ``--hidden``; None is what a folder was indexed with before."""
    exclude = click.option(
        "--exclude",
        metavar="PATTERN",
        multiple=True,
        callback=_patterns,
        help="Leave out, as in .gitignore; several may be given. '' for nothing.",
    )
    links = click.option("--follow-links/--no-follow-links", default=None, help="Follow symbolic links inside folders.")
    hidden = click.option("--hidden/--no-hidden", default=None, help="Also names that start with a dot.")
    return exclude(links(hidden(command)))


def _patterns(_: click.Context, __: click.Parameter, patterns: tuple[str, ...]) -> tuple[str, ...] | None:
    return tuple(filter(None, patterns)) if patterns else None
