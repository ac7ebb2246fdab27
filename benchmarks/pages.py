"""Blocks of the project's pages that are made from results: what stands between two marks."""

from __future__ import annotations

import re
from collections.abc import Sequence


def filled(page: str, name: str, lines: Sequence[str]) -> str:
    """A page's text with these lines as its block of that name.  Raises ValueError when it has no such block.

    A block begins with ``<!-- figures: NAME -->`` and ends with ``<!-- end of figures -->``, each on a line of its own.
    """
    block = re.compile(rf"(?<=^<!-- figures: {re.escape(name)} -->\n).*?(?=^<!-- end of figures -->$)", re.M | re.S)
    text, count = block.subn(lambda _: "\n" + "".join(f"{line}\n" for line in lines), page)
    if count != 1:
        raise ValueError(f"{count} blocks of figures named {name!r}, where there is to be one")
    return text
