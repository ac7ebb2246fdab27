"""What lies in an index and is named by nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from vsearch import files
from vsearch.store.layout import Layout
from vsearch.store.records import Space


def sweep(layout: Layout, spaces: Sequence[Space], derived: Mapping[str, set[str]]) -> None:
    """Unlink folders, rows, generations and derived files that none of the spaces names.

    derived: names of derived files by space.  What cannot be unlinked stays.
    """
    places = [(layout.spaces, {space.name for space in spaces})]
    for space in spaces:
        named = {s.name for s in space.segments} | {s.ids_name for s in space.segments if s.ids_sha256}
        generation = {space.generation.name} if space.generation else set()
        places += [(layout.vectors(space.name), named), (layout.ann(space.name), generation)]
        places += [(layout.derived(space.name), derived[space.name])]
    for folder, keep in places:
        with suppress(OSError):
            for path in folder.iterdir():
                if path.name not in keep:
                    files.unlink(path)
