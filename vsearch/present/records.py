"""Hits for programs: JSON Lines, CSV, and paths."""

from __future__ import annotations

import base64
import csv as csv_module
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from vsearch.bounds import valid
from vsearch.present.names import printable, shown
from vsearch.types import Hit, file_uri

COLUMNS = ("rank", "id", "score", "confidence", "uri", "path", "caption", "width", "height")
# float32 carries seven digits; more would be noise.
DIGITS = 6


def json_lines(hits: Sequence[Hit]) -> str:
    """One JSON object a line: rank, id, score, confidence, uri, path, caption, width, height.

    ``copies`` follows where other files have the same bytes: their uri and path each; ``ids`` for a caption.
    A path that is not UTF-8 is shown with U+FFFD beside ``path_b64``, the base64 of its bytes.
    A score that is not finite is null: JSON has no word for it; so is a confidence that is not known.
    """
    return "".join(json_line(_record(hit)) for hit in hits)


def json_line(values: Mapping[str, Any]) -> str:
    """One JSON object and a newline, encodable as UTF-8 whatever the strings hold."""
    return valid(json.dumps(values, ensure_ascii=False, allow_nan=False)) + "\n"


def path_fields(path: bytes) -> dict[str, str]:
    """``uri`` and ``path``, and ``path_b64`` where the path is not UTF-8."""
    fields = {"uri": file_uri(path), "path": shown(path)}
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        fields["path_b64"] = base64.b64encode(path).decode("ascii")
    return fields


def _record(hit: Hit) -> dict[str, Any]:
    score = round(hit.score, DIGITS) if math.isfinite(hit.score) else None
    size = {"caption": hit.caption, "width": hit.width, "height": hit.height}
    copies = {"copies": [path_fields(path) for path in hit.raw_copies]} if hit.raw_copies else {}
    ids = {"ids": list(hit.ids)} if hit.ids else {}
    confidence = None if hit.confidence is None else round(hit.confidence, DIGITS)
    ranked = {"rank": hit.rank, "id": hit.id, "score": score, "confidence": confidence}
    return {**ranked, **path_fields(hit.raw_path), **size, **copies, **ids}


def csv(hits: Sequence[Hit]) -> str:
    """A header line and one row a hit.  The uri names the file exactly also where the path is not UTF-8."""
    out = io.StringIO()
    writer = csv_module.DictWriter(out, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(_record(hit) for hit in hits)
    return valid(out.getvalue())


def paths(hits: Sequence[Hit], *, escape: bool) -> bytes:
    """One path a line, its own bytes; with ``escape``, for a terminal, control characters are escaped."""
    return b"".join((printable(hit.raw_path).encode() if escape else hit.raw_path) + b"\n" for hit in hits)


def nul(hits: Sequence[Hit]) -> bytes:
    """Paths as their bytes, each followed by NUL, for ``xargs -0``: safe for every name."""
    return b"".join(hit.raw_path + b"\0" for hit in hits)
