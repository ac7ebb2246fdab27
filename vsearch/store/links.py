"""An index has no links: one that came from elsewhere must not lead out of its own folder."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from vsearch import files
from vsearch.errors import IndexCorrupt
from vsearch.store.layout import (
    ANN,
    COLUMN_FILE,
    COLUMNS,
    DERIVED,
    DERIVED_FILE,
    GENERATION_NAME,
    META,
    SEGMENT_FILE,
    SPACE_NAME,
    SPACES,
    VECTORS,
)

Names = list[tuple[re.Pattern[str], "Names"]]


def _named(*names: str) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, names)))


# Every name that is ever opened, and what is opened below it.
_GENERATION: Names = [(_named("index.faiss", "recipe.toml", "report.json"), [])]
_SPACE: Names = [
    (_named("encoder.json"), []),
    (_named(VECTORS), [(SEGMENT_FILE, [])]),
    (_named(ANN), [(GENERATION_NAME, _GENERATION)]),
    (_named(DERIVED), [(DERIVED_FILE, [])]),
]
_INDEX: Names = [
    (_named("FORMAT", "LOCK"), []),
    (_named(META), [(_named("data.mdb", "lock.mdb"), [])]),
    (_named(SPACES), [(SPACE_NAME, _SPACE)]),
    (_named(COLUMNS), [(COLUMN_FILE, [])]),
]


def refuse_links(root: Path, inside: tuple[str, ...] = (), names: Names = _INDEX) -> None:
    """Raise IndexCorrupt where a name that an index uses is a link, a pipe, a device or a socket.

    inside, names: a folder below the root, and what may be in it.  No folder is entered through a link.  Other names
    are never opened, so they may be anything.  What cannot be read is found by whoever opens it.
    Cost: one listing of each folder.
    """
    for name, below in _entries(root, inside, names):
        refuse_links(root, (*inside, name), below)


def _entries(root: Path, inside: tuple[str, ...], names: Names) -> list[tuple[str, Names]]:
    """The folders among the entries that an index uses, with what may be in them.  Raises IndexCorrupt."""
    folders = []
    with suppress(OSError):
        folder = files.open_folder(root, *inside)
        try:
            for name in os.listdir(folder):
                below = next((inner for pattern, inner in names if pattern.fullmatch(name)), None)
                if below is not None and _is_folder(folder, name, root.joinpath(*inside, name)):
                    folders.append((name, below))
        finally:
            os.close(folder)
    return folders


def _is_folder(parent: int, name: str, path: Path) -> bool:
    """Whether an entry is a folder; False for a regular file or one that is gone.  Raises IndexCorrupt for others."""
    try:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
        return stat.S_ISDIR(mode)
    raise IndexCorrupt(
        f"{path}: this is a link, a pipe or a device, and an index has none: it would lead out of the index. Do not "
        f"use an index of unknown origin that has one; in an index of your own, put the file itself there"
    )
