"""Names that may be free."""

from __future__ import annotations

import os
from collections.abc import Iterator

_MOST = 10_000


def numbered(path: bytes) -> Iterator[bytes]:
    """A path, and then the same with -2, -3 and so on before its ending."""
    yield path
    stem, ending = os.path.splitext(path)
    yield from (b"%s-%d%s" % (stem, number, ending) for number in range(2, _MOST))
