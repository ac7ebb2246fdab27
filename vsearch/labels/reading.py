"""Labels as they are given: a list with commas, or a file with one a line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vsearch.arguments import check_texts
from vsearch.errors import QueryError

MOST = 100_000
LONGEST = 1000


def read_labels(told: str) -> tuple[str, ...]:
    """The labels that ``told`` lists between commas; without a comma it names a file of one label a line.

    In a file, blank lines and lines that start with ``#`` are passed over.  Raises QueryError.
    """
    if "," in told:
        return checked(told.split(","))
    try:
        lines = Path(told).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise QueryError(
            f"no file of labels {told!r} can be read ({why}); give one label a line in a file, or a list "
            f'with commas, as "dog,cat,car"'
        ) from error
    return checked(line for line in lines if not line.startswith("#"))


def checked(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels without surrounding blanks, empty ones and repeats.

    Raises QueryError when there are fewer than two, since a choice among one says nothing, or far too many.
    """
    labels = check_texts(labels, "labels", QueryError)
    told = tuple(dict.fromkeys(label.strip() for label in labels if label.strip()))
    if len(told) < 2:
        raise QueryError(f"{len(told)} label{'' if told else 's'}; give two or more to choose among")
    if len(told) > MOST:
        raise QueryError(f"{len(told):,} labels; give {MOST:,} at most")
    long = next((label for label in told if len(label) > LONGEST), None)
    if long is not None:
        raise QueryError(f"the label {long[:40]!r}… has {len(long):,} characters; {LONGEST:,} is the most")
    return told
