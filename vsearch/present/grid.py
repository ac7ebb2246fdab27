"""Rows of texts in columns.  A table of rich takes half a millisecond a row; lists of failures have many thousands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells

from vsearch.present.names import printable_lines

GAP = 3  # cells between columns
_WORDS = re.compile(r"\S+\s*|\s+")


@dataclass(frozen=True)
class Grid:
    """Rows of texts, all of one length, with a header unless it is empty."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def lines(self, width: int | None = None, *, bold: bool = False) -> Iterator[str]:
        """The lines of the whole, columns as wide as their longest text.  Control characters are escaped.

        width: cells of a line; longer texts are broken, at words where there are any.  bold: the header, on terminals.
        """
        rows = [[printable_lines(cell) for cell in row] for row in (self.header, *self.rows) if row]
        if not rows:
            return
        widths = _fitted([max(map(_length, column)) for column in zip(*rows, strict=True)], width)
        for number, row in enumerate(rows):
            heading = bool(self.header) and number == 0
            for line in _laid_out(row, widths):
                yield f"\x1b[1m{line}\x1b[0m" if heading and bold else line
            if heading:
                yield "─" * (sum(widths) + GAP * (len(widths) - 1))


def _length(text: str) -> int:
    return max(map(cell_len, text.split("\n"))) if "\n" in text else cell_len(text)


def _fitted(widths: list[int], width: int | None) -> list[int]:
    """Widths whose sum is within a line: the widest columns are made narrower."""
    surplus = 0 if width is None else sum(widths) + GAP * (len(widths) - 1) - width
    while surplus > 0 and max(widths) > 1:
        most = max(widths)
        widest = [column for column, cells in enumerate(widths) if cells == most]
        next_widest = max((cells for cells in widths if cells < most), default=1)
        less = min(most - max(next_widest, 1), -(-surplus // len(widest)))
        for column in widest:
            widths[column] -= less
        surplus -= less * len(widest)
    return widths


def _laid_out(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    cells = [list(_broken(text, width)) for text, width in zip(row, widths, strict=True)]
    for number in range(max(map(len, cells))):
        pieces = [lines[number] if number < len(lines) else "" for lines in cells]
        padded = [piece + " " * (width - cell_len(piece)) for piece, width in zip(pieces, widths, strict=True)]
        yield (" " * GAP).join(padded).rstrip()


def _broken(text: str, width: int) -> Iterator[str]:
    """The lines of a text in a column of so many cells."""
    for line in text.split("\n"):
        if cell_len(line) <= width:
            yield line
        else:
            yield from _wrapped(line, width)


def _wrapped(line: str, width: int) -> Iterator[str]:
    held, used = "", 0
    for word in _WORDS.findall(line):
        cells = cell_len(word.rstrip())
        if held and used + cells > width:
            yield held.rstrip()
            held, used = "", 0
        if cells > width:
            *whole, word = chop_cells(word, width)
            yield from whole
        held += word
        used += cell_len(word)
    if held.strip():
        yield held.rstrip()
