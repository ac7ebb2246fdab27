"""Sources with the options that their roots were indexed with before, where nothing else was asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from vsearch.members.address import MARK
from vsearch.sources import Archive, Chain, Folder, Img2dataset, Source
from vsearch.sources.folder import OPTIONS
from vsearch.store import Store
from vsearch.types import Settings

Known = Mapping[bytes, Settings]


def with_settings(store: Store, source: Source) -> Source:
    """A source as the index remembers its roots: those inside a folder keep what they were indexed with too."""
    with store.snapshot() as snapshot:
        known = snapshot.settings()
    return _applied(source, known)


def resolved(folder: Folder, known: Known) -> Folder:
    """A folder without options that are None: as its root is known, or the nearest root around it; else the default."""
    around = [root for root in known if (folder.root + b"/").startswith(root.rstrip(b"/") + b"/")]
    nearest = max(around, key=len, default=folder.root)
    told: Mapping[str, Any] = known.get(nearest, {})
    options: dict[str, Any] = {name: getattr(folder, name) for name in OPTIONS}
    top = folder.top if options["exclude"] is not None else nearest  # patterns are relative to where they were given
    for name in (name for name, value in options.items() if value is None):
        value = told.get(name, False)
        options[name] = tuple(value or ()) if name == "exclude" else value
    return replace(folder, top=top, **options)


def new_settings(store: Store, source: Source) -> dict[bytes, Settings | None]:
    """What is to be remembered of a source: roots with options that do not follow from what is known already."""
    told: dict[bytes, Settings] = getattr(source, "settings", {})
    with store.snapshot() as snapshot:
        known = snapshot.settings()
    return {root: its for root, its in told.items() if not _follows(root, its, known)}


def _follows(root: bytes, its: Settings, known: Known) -> bool:
    if root in known or root.endswith(MARK):
        return known.get(root) == its
    around = [known[other] for other in known if root.startswith(other.rstrip(b"/") + b"/")]
    return its in around


def _applied(source: Source, known: Known) -> Source:
    if isinstance(source, Chain):
        return Chain(tuple(_applied(one, known) for one in source.sources))
    if isinstance(source, Img2dataset):
        return replace(source, files=resolved(source.files, known))
    if isinstance(source, Archive):
        told = known.get(source.path + MARK, {})
        if source.chosen or "every" not in told:
            return source
        return replace(source, every=float(cast("float", told["every"])))
    if not isinstance(source, Folder):
        return source
    outer = resolved(source, known)
    inner = [
        resolved(Folder(root), known)
        for root, told in sorted(known.items())
        if root.startswith(source.root.rstrip(b"/") + b"/") and os.path.isdir(root)
        if told != outer.settings[outer.root]
    ]
    return Chain((outer, *inner)) if inner else outer
