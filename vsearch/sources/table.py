"""A CSV or TSV table of pictures and captions, with the columns of open_clip's training data."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from vsearch.arguments import written
from vsearch.errors import SourceError
from vsearch.members.address import join
from vsearch.sources.cells import typed
from vsearch.sources.delimited import (
    ENCODING,
    ON_ERROR,
    encodings_of,
    first_line,
    is_blank,
    opened,
    readable,
    remarks,
    separator_of,
    unreadable,
)
from vsearch.sources.probe import clean_caption, item_or_failure, scan_failure
from vsearch.sources.protocol import ADDRESS, AnyPath, absolute, is_address
from vsearch.types import Cell, Failure, Item


@dataclass(frozen=True)
class Table:
    """The rows of a table, one item per picture: captions of several rows are joined by newlines.

    Other columns are kept for filters, as the first row of a picture has them.  encoding: of the file.  texts: of those
    that are not UTF-8; paths keep their bytes.  rows: table → paths of the pictures that the last walk showed, where
    every line could be read.
    """

    path: bytes
    path_column: str
    caption_column: str
    separator: str
    encoding: str = ENCODING
    texts: str = "utf-8"
    rows: dict[bytes, list[bytes]] = field(default_factory=dict, compare=False)

    @property
    def remarks(self) -> tuple[str, ...]:
        """That texts were read in another encoding than UTF-8, and in which."""
        return remarks(self.path, self.encoding, self.texts)

    @property
    def roots(self) -> tuple[bytes, ...]:
        """None: a table covers no folder."""
        return ()

    @property
    def tables(self) -> tuple[bytes, ...]:
        """The table: failures of its lines are told anew each time."""
        return (self.path,)

    def __iter__(self) -> Iterator[Item | Failure]:
        """Pictures in the order of their first rows.  Raises SourceError when the table cannot be read."""
        captions: dict[bytes, list[str]] = {}
        cells: dict[str, list[str]] = {}
        self.rows.clear()
        whole, paths = True, []
        for row in self._rows():
            if isinstance(row, Failure):
                whole = False
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
            caption = clean_caption("\n".join(texts).encode())
            found = _look(name, base, caption, {column: told[number] for column, told in values.items()})
            paths.append(found.path)
            yield found
        if whole:
            self.rows[self.path] = paths

    def _rows(self) -> Iterator[_Row | Failure]:
        with opened(self.path, self.encoding) as stream:
            reader = csv.reader(stream, delimiter=self.separator)
            header = _Header.of(_first(reader, self.path), self)
            while True:
                try:
                    row = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:  # a field over csv's limit costs its line, not the table
                    yield self._failure(reader.line_num, str(error))
                    continue
                except OSError as error:
                    raise unreadable(self.path, error) from error
                if any(row) and not is_blank(row):
                    yield from self._row(header, row, reader.line_num)

    def _row(self, header: _Header, row: list[str], line: int) -> Iterator[_Row | Failure]:
        surplus = [text for text in row[len(header.names) :] if text]
        row = [*row, *[""] * (len(header.names) - len(row))]
        if not row[header.path]:
            yield self._failure(line, f"no {self.path_column}")
            return
        if surplus:
            why = f"{len(row):,} fields for {len(header.names):,} columns: texts with {self.separator!r} need quotes"
            yield self._failure(
                line, f"{why}; the rest, from {readable(surplus[0], self.texts)[:40]!r} on, is left out"
            )
        caption = readable(row[header.caption], self.texts).strip() if header.caption is not None else ""
        others = {
            column: readable(text, self.texts)
            for place, (column, text) in enumerate(zip(header.names, row, strict=False))
            if column and place not in (header.path, header.caption)
        }
        yield _Row(row[header.path].encode("utf-8", ON_ERROR), caption, others)

    def _failure(self, line: int, reason: str) -> Failure:
        return Failure(join(self.path, b"line %d" % line), "scan", reason)


class _Row(NamedTuple):
    """A line of the table.  cells: the texts of the other columns."""

    name: bytes
    caption: str
    cells: dict[str, str]


class _Header(NamedTuple):
    """The first line.  names: of all columns, each once.  path, caption: where those two are."""

    names: list[str]
    path: int
    caption: int | None

    @classmethod
    def of(cls, header: list[str], table: Table) -> _Header:
        """Raises SourceError with the names that there are."""

        def place(name: str) -> int:
            told = [readable(column, table.texts) for column in header]
            if name in told:
                return told.index(name)
            there = ", ".join(map(repr, told))[:1000] or "none"
            hint = "" if _is_utf8(header) else " It is not UTF-8; try: iconv -f LATIN1 -t UTF-8, or -f UTF-16."
            raise SourceError(
                f"the table {os.fsdecode(table.path)!r} has no column {name!r}; it has: {there}. "
                f"Name the columns with --path-column and --caption-column ('' for no captions).{hint}"
            )

        names: list[str] = []
        for column in (readable(name, table.texts) for name in header):
            while column and column in names:
                column += "_"
            names.append(column)
        return cls(names, place(table.path_column), place(table.caption_column) if table.caption_column else None)


def _is_utf8(header: list[str]) -> bool:
    return all(column == readable(column) and "\0" not in column for column in header)


def _first(reader: Iterator[list[str]], path: bytes) -> list[str]:
    """The header of a table.  Raises SourceError."""
    try:
        return next(reader, [])
    except csv.Error as error:
        raise SourceError(f"{os.fsdecode(path)!r} is no table: its first line cannot be read ({error})") from error
    except OSError as error:
        raise unreadable(path, error) from error


def _look(name: bytes, base: bytes, caption: str | None, columns: dict[str, Cell]) -> Item | Failure:
    """Relative names are looked for beside the table, then in the current directory."""
    if is_address(name):
        return Failure(name, "scan", ADDRESS)
    beside, here = absolute(name, base), absolute(name)
    path = here if not os.path.lexists(beside) and os.path.lexists(here) else beside
    try:
        found = item_or_failure(path, os.stat(path), caption)
    except (OSError, ValueError) as error:
        return scan_failure(path, error)
    return replace(found, columns=columns) if isinstance(found, Item) else found


def table(
    path: AnyPath,
    *,
    path_column: str = "filepath",
    caption_column: str = "title",
    separator: str | None = None,
) -> Table:
    """Pictures named in a table with a header line.

    caption_column: empty for a table without captions.
    separator: when None, the one of tab, comma, semicolon and bar that makes most columns of the header.
    Raises SourceError when the table cannot be read or lacks a column.
    """
    where = absolute(path)
    for what, name in (("path_column", path_column), ("caption_column", caption_column)):
        if not isinstance(name, str):
            raise SourceError(f"{what} is {written(name)}; it is the name of a column")
    if separator is not None and not isinstance(separator, str):
        raise SourceError(f"a separator is one character, and this is {written(separator)}")
    encoding, texts = encodings_of(where)
    header = first_line(where, encoding)
    chosen = separator or separator_of(header)
    if len(chosen) != 1:
        raise SourceError(f"a separator is one character, and this is {chosen!r}")
    made = Table(where, path_column, caption_column, chosen, encoding, texts)
    _Header.of(_first(csv.reader([header], delimiter=chosen), where), made)
    return made
