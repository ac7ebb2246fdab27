"""What lies in an index and is named by nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from vsearch import files
from vsearch.store.layout import Layout
from vsearch.store.records import Space


def sweep(layout: Layout, spaces: Sequence[Space]) -> None:
    """Unlink folders, rows and generations that none of the spaces names.  What cannot be unlinked stays."""
    places = [(layout.spaces, {space.name for space in spaces})]
    for space in spaces:
        named = {s.name for s in space.segments} | {s.ids_name for s in space.segments if s.ids_sha256}
        generation = {space.generation.name} if space.generation else set()
        places += [(layout.vectors(space.name), named), (layout.ann(space.name), generation)]
    for folder, keep in places:
        with suppress(OSError):
            for path in folder.iterdir():
                if path.name not in keep:
                    files.unlink(path)
