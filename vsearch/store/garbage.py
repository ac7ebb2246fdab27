"""What lies in an index and is named by nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from vsearch import files
from vsearch.store.layout import (
    ANN,
    DERIVED,
    DERIVED_FILE,
    GENERATION_NAME,
    SEGMENT_FILE,
    SPACE_NAME,
    SPACES,
    TEMPORARY_FILE,
    VECTORS,
    Layout,
)
from vsearch.store.records import Space


def sweep(layout: Layout, spaces: Sequence[Space], derived: Mapping[str, set[str]]) -> None:
    """Remove folders, rows, generations and derived files that none of the spaces names.

    derived: names of derived files by space.  Only what has a name of the kind that this program gives is removed, and
    no folder is entered through a link.  What cannot be removed stays.
    """
    remove_others(layout.root, (SPACES,), SPACE_NAME, {space.name for space in spaces})
    for space in spaces:
        rows = {s.name for s in space.segments} | {s.ids_name for s in space.segments if s.ids_sha256}
        generation = {space.generation.name} if space.generation else set()
        for folder, pattern, keep in (
            (VECTORS, SEGMENT_FILE, rows),
            (ANN, GENERATION_NAME, generation),
            (DERIVED, DERIVED_FILE, derived[space.name]),
        ):
            remove_others(layout.root, (SPACES, space.name, folder), pattern, keep)


def remove_others(root: Path, inside: tuple[str, ...], pattern: re.Pattern[str], keep: set[str]) -> None:
    """Remove from a folder below ``root`` what has a name of this pattern, or of a temporary file, and is not kept."""
    with suppress(OSError):
        folder = files.open_folder(root, *inside)
        try:
            for name in os.listdir(folder):
                if name not in keep and (pattern.fullmatch(name) or TEMPORARY_FILE.fullmatch(name)):
                    with suppress(OSError):
                        files.remove_from(folder, name)
        finally:
            os.close(folder)
