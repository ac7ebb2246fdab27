"""Files of delimited text: what separates their columns, and in which encoding their texts are."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Collection, Iterator
from itertools import chain
from typing import TextIO

from vsearch.errors import SourceError
from vsearch.sources.encodings import detected, foreign, marked

# Bytes that are not UTF-8 pass through as lone surrogates, so that a path keeps its bytes.
ENCODING, ON_ERROR = "utf-8-sig", "surrogateescape"
SEPARATORS = "\t,;|"
_QUOTED = re.compile(r'"[^"]*"')
_LONGEST_HEADER = 1 << 20


def separator_of(header: str) -> str:
    """What separates most columns in the first line of a table: tab, comma, semicolon or bar; tab if none does."""
    return max(SEPARATORS, key=_QUOTED.sub("", header).count)


def is_blank(row: list[str]) -> bool:
    """Whether a line is empty or nothing but white space, as some programs leave at the end."""
    return not row or (len(row) == 1 and row[0].isspace())


def encodings_of(path: bytes) -> tuple[str, str]:
    """The encoding of a table, and that of texts in it that are not UTF-8.  Raises SourceError."""
    try:
        with open(path, "rb") as stream:
            mark = marked(stream.read(4))
            stream.seek(0)
            other = None if mark not in (None, ENCODING) else next(foreign(stream), None)
            if other is None:
                return mark or ENCODING, "utf-8"
            return ENCODING, detected(chain([other], foreign(stream)))
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:  # a zero byte
        raise SourceError(f"{os.fsdecode(path)!r} is no possible name of a table") from error


def first_line(path: bytes, encoding: str) -> str:
    """The line that names the columns.  Raises SourceError."""
    with opened(path, encoding) as stream:
        try:
            return stream.readline(_LONGEST_HEADER)
        except OSError as error:
            raise unreadable(path, error) from error


def opened(path: bytes, encoding: str) -> TextIO:
    """The table as text.  Raises SourceError."""
    try:
        return open(path, encoding=encoding, errors=ON_ERROR if encoding == ENCODING else "replace", newline="")
    except OSError as error:
        raise unreadable(path, error) from error


def readable(text: str, encoding: str = "utf-8") -> str:
    """A text whose bytes were read as UTF-8; in ``encoding`` if they are not.  What cannot be read is U+FFFD."""
    raw = text.encode("utf-8", ON_ERROR)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode(encoding, "replace")


def rows_of(path: bytes, paths: Collection[str]) -> Iterator[dict[str, str]]:
    """The rows of a table with a header line, by column; "" where a line is short, blank lines are passed over.

    paths: the columns whose bytes are kept, as lone surrogates where they are not UTF-8.  Raises SourceError.
    """
    encoding, texts = encodings_of(path)
    separator = separator_of(first_line(path, encoding))
    with opened(path, encoding) as stream:
        reader = csv.reader(stream, delimiter=separator)
        try:
            names = [readable(name, texts) for name in next(reader, [])]
            for row in reader:
                if not is_blank(row):
                    fields = zip(names, [*row, *[""] * (len(names) - len(row))], strict=False)
                    yield {name: text if name in paths else readable(text, texts) for name, text in fields}
        except csv.Error as error:
            raise SourceError(f"{os.fsdecode(path)}, line {reader.line_num}: {error}") from error
        except OSError as error:
            raise unreadable(path, error) from error


def remarks(path: bytes, encoding: str, texts: str) -> tuple[str, ...]:
    """That texts were read in another encoding than UTF-8, and in which; see ``encodings_of``."""
    told = texts if texts != "utf-8" else encoding
    if told in ("utf-8", ENCODING):
        return ()
    how = "which a mark at its beginning tells" if told == encoding else "as their letters suggest"
    return (f"{os.fsdecode(path)}: its texts were read as {told}, {how}",)


def unreadable(path: bytes, error: OSError) -> SourceError:
    """The error for a table that the system does not give."""
    return SourceError(f"cannot read the table {os.fsdecode(path)!r}: {error.strerror}. Check its name and try again.")
