"""Tables of pictures with columns of their own, for what is measured beside captions."""

from __future__ import annotations

import os
from pathlib import Path

from vsearch.errors import SourceError
from vsearch.sources.delimited import rows_of
from vsearch.sources.protocol import absolute

PATH = "filepath"


def read_rows(path: str | os.PathLike[str], *columns: str) -> list[dict[str, str]]:
    """The rows of a delimited table that has the column ``filepath`` and those named.

    Values are stripped; a column that a row lacks is "".  Raises SourceError for a table that cannot be read or has no
    rows with these columns.
    """
    place = Path(path)
    rows = list(rows_of(os.fsencode(place), (PATH,)))
    lacking = [name for name in (PATH, *columns) if name not in (rows[0] if rows else ())]
    if lacking:
        raise SourceError(f"the table {str(place)!r} has no rows with a column {', '.join(lacking)}")
    return [{name: value.strip() for name, value in row.items()} for row in rows]


def beside(table: str | os.PathLike[str], name: str) -> bytes:
    """A path of a table, made absolute: relative ones are looked for beside the table."""
    return absolute(name, os.path.dirname(os.fsencode(table)))
