"""Prompt templates: sentences with a gap for a label, kept as data, one file for each set and one template a line.

A bare word is not what an encoder saw in training, so a label is put into several sentences and the vectors of those
are averaged (Radford et al. 2021, section 3.1.4, arXiv 2103.00020).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path

from vsearch.arguments import check_texts
from vsearch.errors import QueryError

GAP = "{}"
DEFAULT = "photo"
ENDING = ".txt"


def names() -> list[str]:
    """The bundled sets."""
    return sorted(entry.name.removesuffix(ENDING) for entry in files(__name__).iterdir() if entry.name.endswith(ENDING))


@cache
def load(name: str = DEFAULT) -> tuple[str, ...]:
    """The templates of a bundled set, or of a file named ``*.txt``, each with ``{}`` for the label.

    Raises QueryError for a set that there is not, a file that cannot be read, and a template without a gap.
    """
    return checked(_text(name).splitlines(), name)


def _text(name: str) -> str:
    if name in names():
        return files(__name__).joinpath(name + ENDING).read_text(encoding="utf-8")
    if not name.endswith(ENDING):
        raise QueryError(
            f"there are no prompt templates {name!r}; give a file *{ENDING}, or one of: {', '.join(names())}"
        )
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(f"the prompt templates {name!r} cannot be read: {error}") from error


def checked(lines: Iterable[str], origin: str) -> tuple[str, ...]:
    """Templates without blank lines and repeats.  origin: where they come from, for the message.

    Raises QueryError when there is none, and for one that has not exactly one gap.
    """
    told = tuple(dict.fromkeys(line.strip() for line in check_texts(lines, "templates", QueryError) if line.strip()))
    if not told:
        raise QueryError(f"there is no template in {origin!r}; write one a line, as: a photo of {GAP}")
    wrong = next((line for line in told if line.count(GAP) != 1), None)
    if wrong is not None:
        raise QueryError(f"the template {wrong!r} of {origin!r} needs one {GAP} where the label goes")
    return told


def fill(templates: Iterable[str], label: str) -> list[str]:
    """Each template with the label in its gap."""
    return [template.replace(GAP, label) for template in templates]
