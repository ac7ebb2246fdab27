"""A CSV or TSV table of pictures and captions, with the columns of open_clip's training data."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, TextIO

from vsearch.errors import SourceError
from vsearch.sources.cells import typed
from vsearch.sources.look import clean_caption, item_or_failure, scan_failure
from vsearch.sources.protocol import AnyPath, absolute
from vsearch.types import Cell, Failure, Item

# Bytes that are not UTF-8 pass through as lone surrogates, so that a path keeps its bytes.
ENCODING, ON_ERROR = "utf-8-sig", "surrogateescape"


@dataclass(frozen=True)
class Table:
    """The rows of a table, one item per picture: captions of several rows are joined by newlines.

    Other columns are kept for filters, as the first row of a picture has them.
    """

    path: bytes
    path_column: str
    caption_column: str
    separator: str

    @property
    def roots(self) -> tuple[bytes, ...]:
        """None: a table covers no folder."""
        return ()

    def __iter__(self) -> Iterator[Item | Failure]:
        """Pictures in the order of their first rows.  Raises SourceError when the table cannot be read."""
        captions: dict[bytes, list[str]] = {}
        cells: dict[str, list[str]] = {}
        for row in self._rows():
            if isinstance(row, Failure):
                yield row
                continue
            if row.name not in captions:
                for column, text in row.cells.items():
                    cells.setdefault(column, []).append(text)
            kept = captions.setdefault(row.name, [])
            if row.caption and row.caption not in kept:
                kept.append(row.caption)
        base = os.path.dirname(self.path)
        values = {column: typed(texts) for column, texts in cells.items()}
        for number, (name, texts) in enumerate(captions.items()):
            caption = clean_caption("\n".join(texts).encode(errors="surrogateescape"))
            yield _look(name, base, caption, {column: told[number] for column, told in values.items()})

    def _rows(self) -> Iterator[_Row | Failure]:
        with _open(self.path) as stream:
            reader = csv.reader(stream, delimiter=self.separator)
            header = next(reader, [])
            at = _columns(header, self)
            while True:
                try:
                    row = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:  # a field over csv's limit costs its line, not the table
                    yield Failure(self.path, "scan", f"line {reader.line_num}: {error}")
                    continue
                if any(row):
                    yield self._row(header, row, at, reader.line_num)

    def _row(self, header: list[str], row: list[str], at: tuple[int, int | None], line: int) -> _Row | Failure:
        name_at, caption_at = at
        row = [*row, *[""] * (len(header) - len(row))]
        if not row[name_at]:
            return Failure(self.path, "scan", f"line {line}: no {self.path_column}")
        caption = row[caption_at].strip() if caption_at is not None else ""
        # Bytes that are not UTF-8 can stand in a path, but not in a text that is searched.
        others = {
            column: text.encode("utf-8", ON_ERROR).decode("utf-8", "replace")
            for place, (column, text) in enumerate(zip(header, row, strict=False))
            if column and place not in at
        }
        return _Row(row[name_at].encode("utf-8", ON_ERROR), caption, others)


class _Row(NamedTuple):
    """A line of the table.  cells: the texts of the other columns."""

    name: bytes
    caption: str
    cells: dict[str, str]


def _columns(header: list[str], table: Table) -> tuple[int, int | None]:
    """Where the two columns are.  Raises SourceError with the names that there are."""

    def place(name: str) -> int:
        if name in header:
            return header.index(name)
        there = ", ".join(repr(column) for column in header) or "none"
        raise SourceError(
            f"the table {os.fsdecode(table.path)!r} has no column {name!r}; it has: {there}. "
            "Name the columns with --path-column and --caption-column ('' for no captions)."
        )

    return place(table.path_column), place(table.caption_column) if table.caption_column else None


def _look(name: bytes, base: bytes, caption: str | None, columns: dict[str, Cell]) -> Item | Failure:
    """Relative names are looked for beside the table, then in the current directory."""
    beside, here = absolute(name, base), absolute(name)
    path = here if not os.path.lexists(beside) and os.path.lexists(here) else beside
    try:
        found = item_or_failure(path, os.stat(path), caption)
    except (OSError, ValueError) as error:
        return scan_failure(path, error)
    return replace(found, columns=columns) if isinstance(found, Item) else found


def _open(path: bytes) -> TextIO:
    try:
        return open(path, encoding=ENCODING, errors=ON_ERROR, newline="")
    except OSError as error:
        raise SourceError(
            f"cannot read the table {os.fsdecode(path)!r}: {error.strerror}. Check its name and try again."
        ) from error


def table(
    path: AnyPath,
    *,
    path_column: str = "filepath",
    caption_column: str = "title",
    separator: str | None = None,
) -> Table:
    """Pictures named in a table with a header line.

    caption_column: empty for a table without captions.
    separator: when None, the one of tab, comma and semicolon that is most frequent in the header.
    Raises SourceError when the table cannot be read or lacks a column.
    """
    where = absolute(path)
    with _open(where) as stream:
        header = stream.readline(1 << 20)
    chosen = separator or max("\t,;", key=header.count)
    made = Table(where, path_column, caption_column, chosen)
    _columns(next(csv.reader([header], delimiter=chosen), []), made)
    return made
